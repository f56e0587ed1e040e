# storecredit with its own PostgreSQL: docker build -t storecredit . and then
#   docker run --init --stop-timeout 45 -p 8080:8080 -v storecredit:/data storecredit
# --init reaps what the embedded PostgreSQL leaves behind; the stop timeout lets the worker finish
# what it has begun. With STORECREDIT_DATABASE_URL set, /data holds only the result images.
FROM python:3.13-slim

ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

WORKDIR /app

# The dependencies change less often than the code: a layer of their own.
COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY src ./src
# setuptools came with the lock: nothing is fetched here, and nothing without a hash anywhere.
RUN pip install --no-deps --no-build-isolation .

# PostgreSQL refuses to run as root, and the service has no need to.
RUN useradd --system --uid 10001 --create-home storecredit \
    && install --directory --owner storecredit --group storecredit --mode 0700 /data
USER storecredit

ENV STORECREDIT_HOST=0.0.0.0 \
    STORECREDIT_PORT=8080 \
    STORECREDIT_DATA_DIR=/data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['STORECREDIT_PORT']}/health/ready\", timeout=4)"]

ENTRYPOINT ["storecredit"]
CMD ["serve"]
