# One image for every part: `docker compose` runs it as migrate, api, worker and sandbox bank.
FROM python:3.13-slim

# USER: yoyo notes who migrates, also where an orchestrator chooses a user id without a name
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    USER=payrail

WORKDIR /app
COPY . .
# nothing but what requirements.txt has the hash of; editable: sql/ and migrations/ are read from beside the package
RUN pip install --no-cache-dir --require-hashes --requirement requirements.txt \
    && pip install --no-cache-dir --no-deps --editable . \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin payrail \
    && install --directory --owner=10001 /bank

# a number, so that an orchestrator can see that it isn't root
USER 10001
EXPOSE 8000
ENTRYPOINT ["payrail"]
CMD ["serve"]
