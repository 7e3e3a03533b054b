# One image for every role. No shell, no package manager, not root.
#
#   docker build -t carillon .
#
# Where no registry can be reached, give local images:
#   docker build --build-arg BUILD_IMAGE=my-rust --build-arg RUNTIME_IMAGE=scratch -t carillon .
ARG BUILD_IMAGE=rust:1.95-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/static-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY . .
# A static executable on the ordinary target: --target keeps the flag away from build scripts and macros.
# Symbols leave, so that the image stays small; panics still name file and line.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=carillon-target,target=/src/target \
    host="$(rustc --print host-tuple)" && \
    RUSTFLAGS="-C target-feature=+crt-static" CARGO_PROFILE_RELEASE_STRIP=symbols \
    cargo build --locked --release --package carillon --target "${host}" && \
    cp "target/${host}/release/carillon" /carillon

FROM ${RUNTIME_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="carillon" \
      org.opencontainers.image.description="A SIP signaling cluster that business applications control by gRPC" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /carillon /carillon
USER 65532:65532
STOPSIGNAL SIGTERM
# SIP, gRPC, and /livez /readyz /metrics
EXPOSE 5060/udp 5060/tcp 50051/tcp 9090/tcp
ENTRYPOINT ["/carillon"]
CMD ["serve"]
