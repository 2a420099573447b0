"""What is wrong with an IBAN, in words: the database only knows that the check digits are."""

from __future__ import annotations

from schwifty import IBAN, exceptions


def fault(text: str) -> str | None:
    """Return what is wrong with an IBAN, by its country's rules (ISO 13616); None if it is right.

    Spaces and the case of letters mean nothing, as in payrail.add_bank_account.
    """
    try:
        IBAN(text.replace(" ", ""))
    except exceptions.InvalidCountryCode:
        return "It does not begin with the code of a country that has IBANs."
    except exceptions.InvalidLength:
        return "It is too short or too long for an IBAN of its country."
    except exceptions.InvalidChecksumDigits:
        return "Its check digits do not fit: a character is wrong, or two are swapped."
    except exceptions.SchwiftyException:
        return "It is not written as an IBAN of its country is."
    return None
