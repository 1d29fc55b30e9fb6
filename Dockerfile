# Sandbook as an image: built from source, run by a user of its own on a read-only root.
#
#   docker build -t sandbook .
#   docker run -d --name sandbook --read-only --tmpfs /tmp --group-add "$(stat -c %g /var/run/docker.sock)" \
#     -v /var/run/docker.sock:/var/run/docker.sock -v sandbook-data:/var/lib/sandbook -p 127.0.0.1:7070:7070 sandbook
#
# For amd64 and arm64 at once: `docker buildx bake -f host/packaging/bake.hcl`. A binary that is already built is taken
# from any image that has it as /out/sandbook: `--build-arg BINARY=that-image`; then nothing is compiled here.

ARG BUILDER=rust:1.95-bookworm
ARG RUNTIME=debian:bookworm-slim
ARG BINARY=build

FROM ${BUILDER} AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --release && install -D target/release/sandbook /out/sandbook

FROM ${BINARY} AS binary

FROM ${RUNTIME}
LABEL org.opencontainers.image.title="sandbook" \
      org.opencontainers.image.description="A runbook engine an on-call engineer can trust with the Docker socket" \
      org.opencontainers.image.licenses="Apache-2.0"
# Certificates of authorities, for notifications and models behind https. The user's number is fixed, so that a volume
# keeps its owner from one image to the next.
RUN { command -v update-ca-certificates >/dev/null \
      || { apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*; }; } \
    && groupadd --gid 10070 sandbook \
    && useradd --uid 10070 --gid sandbook --home-dir /var/lib/sandbook --no-create-home --shell /usr/sbin/nologin sandbook \
    && install -d -o sandbook -g sandbook -m 0750 /var/lib/sandbook
COPY --from=binary /out/sandbook /usr/bin/sandbook
# Inside a container the published port decides who reaches it; tokens are always asked for.
ENV SANDBOOK_LISTEN=0.0.0.0:7070 \
    SANDBOOK_DATA_DIR=/var/lib/sandbook
USER sandbook
WORKDIR /var/lib/sandbook
VOLUME /var/lib/sandbook
EXPOSE 7070
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["sandbook", "health"]
# Its own way of stopping ends the effect under way and goes on later.
STOPSIGNAL SIGTERM
ENTRYPOINT ["sandbook"]
CMD ["serve"]
