# Server and worker are one image; compose.yaml says which a container is.
FROM python:3.11-slim
WORKDIR /app
ENV PYTHONUNBUFFERED=1 PERENNIAL_HOST=0.0.0.0
COPY requirements.txt ./
RUN python -m pip install --no-cache-dir --require-hashes -r requirements.txt
RUN useradd --system perennial && install -d -o perennial var
COPY alembic.ini pyproject.toml *.py ./
COPY billing billing
COPY documents documents
COPY gateways gateways
COPY migrations migrations
COPY models models
COPY pages pages
COPY resolvers resolvers
COPY schema schema
COPY services services
COPY explorer/not-built.html explorer/
USER perennial
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health/ready', timeout=4)"]
CMD ["python", "cli.py", "serve"]
