# The production image. Built and run by docker-compose.yml; it holds no secret.

FROM node:24.19-bookworm-slim AS web
WORKDIR /build
COPY dashboard/package.json dashboard/package-lock.json dashboard/.npmrc ./
RUN npm ci --no-audit --no-fund
COPY dashboard/ ./
RUN npm run build

FROM python:3.13-slim-bookworm AS packages
WORKDIR /build
COPY .ci/requirements-uv.lock requirements.lock ./
RUN python -m pip install --no-cache-dir --require-hashes -r requirements-uv.lock \
    && uv venv --quiet /opt/venv \
    && uv pip install --no-cache --compile-bytecode --python /opt/venv/bin/python \
        --require-hashes -r requirements.lock

FROM python:3.13-slim-bookworm
# A fixed number, so that the secrets' files and the KEK's folder can be given to it: see
# docker-compose.yml.
RUN groupadd --gid 10001 jolda \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/jolda --create-home \
        --shell /usr/sbin/nologin jolda \
    && install --directory --owner=jolda --group=jolda --mode=700 /var/lib/jolda/keys
WORKDIR /app
COPY --from=packages /opt/venv /opt/venv
COPY geo/ geo/
COPY migrations/ migrations/
COPY server/ server/
COPY --from=web /build/dist/ dashboard/dist/
# Here, because at run time the file system may be read-only.
RUN /opt/venv/bin/python -m compileall -q geo migrations server
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    JOLDA_HOME=/var/lib/jolda \
    JOLDA_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8080
# The address inside the container only: health and metrics are not published.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8081/healthz', timeout=2)"]
CMD ["python", "-m", "server", "serve"]
