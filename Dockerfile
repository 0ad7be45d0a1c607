# One image for both processes: `relay web` (the default) and `relay worker`; `relay migrate` comes before them.
# On SQLite one process does both: docker run -v relay:/app/data … relay web --with-worker
FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app

# The pins change seldom, so their layer is kept apart.
COPY requirements.txt ./
RUN pip install --require-hashes -r requirements.txt

COPY . .
RUN pip install --no-deps -e . \
 && useradd --system --uid 10001 --no-create-home relay \
 && install -d -o relay -g relay data
USER relay
VOLUME ["/app/data"]

ENV PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s CMD ["relay", "healthcheck"]
CMD ["relay", "web"]
