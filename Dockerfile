# One image for the API, the projector, the publisher and the demo game service.
FROM python:3.12-slim AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md ./
COPY ledger ledger
COPY projections projections
COPY commands commands
COPY consumers consumers
RUN python -m venv /opt/liveops \
 && /opt/liveops/bin/pip install --no-cache-dir --require-hashes -r requirements.lock \
 && /opt/liveops/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.12-slim
RUN useradd --system --uid 10001 liveops
COPY --from=build /opt/liveops /opt/liveops
ENV PATH=/opt/liveops/bin:$PATH PYTHONUNBUFFERED=1
USER liveops
EXPOSE 8700
ENTRYPOINT ["liveops"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8700"]
