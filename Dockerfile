# One image for both processes: `relay web` (the default) and `relay worker`; `relay migrate` comes before them.
# On SQLite one process does both: docker run -v relay:/app/data … relay web --with-worker
FROM python:3.13-slim

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
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/livez', timeout=4)"]
CMD ["relay", "web"]
