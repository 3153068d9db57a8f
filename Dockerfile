# One image for all services of compose.yaml: what differs is the command. It runs as nobody in particular, writes to
# /data and /tmp only, and holds what requirements.server.lock names, by hash, without any tool to build or to test.

FROM python:3.11-slim AS build
WORKDIR /app
RUN python -m venv /venv
COPY requirements.server.lock ./
RUN /venv/bin/python -m pip install --no-cache-dir --require-hashes --no-deps -r requirements.server.lock \
    && /venv/bin/python -m pip uninstall --yes setuptools pip
COPY manage.py pyproject.toml LICENSE ./
COPY codexproxy codexproxy
COPY accounts accounts
COPY providers providers
COPY proxypool proxypool
COPY stats stats
COPY translation translation
COPY templates templates
COPY locale locale
RUN printf '%s\n' '#!/venv/bin/python' 'from codexproxy.cli import main' 'main()' > /venv/bin/codexproxy \
    && chmod 755 /venv/bin/codexproxy \
    && /venv/bin/python -m compileall -q /app

FROM python:3.11-slim
LABEL org.opencontainers.image.title="Codex Proxy" org.opencontainers.image.licenses="MIT"
RUN groupadd --gid 10001 codexproxy \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin codexproxy \
    && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY --from=build /venv /venv
COPY --from=build /app /app
ENV PATH=/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CODEXPROXY_DATA_DIR=/data \
    HOST=0.0.0.0 \
    PORT=8080
WORKDIR /app
USER 10001:10001
VOLUME ["/data"]
EXPOSE 8080
# Draining takes up to 30 s, see codexproxy/serving/gateway.py; give it `docker stop --time 45`.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:' + os.environ['PORT'] + '/health/live', timeout=3)"]
CMD ["codexproxy", "serve"]
