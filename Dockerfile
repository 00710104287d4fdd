# The image of the service: one static binary, the certificates by which AWS is known, and the time zones. No shell, no
# package manager, nothing that writes: it runs on a read-only root as a user that owns no file.
#
#   docker build --build-arg VERSION=v1.0.0 --build-arg COMMIT=$(git rev-parse HEAD) --tag sluice .
#
# The same sources, toolchain and arguments give the same binary, byte for byte.

ARG GO_VERSION=1.26.8
FROM golang:${GO_VERSION} AS build
WORKDIR /src
COPY . .
ARG GOPROXY=https://proxy.golang.org,direct
ARG VERSION=devel
ARG COMMIT=unknown
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOWORK=off GOTOOLCHAIN=local go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X github.com/sluice-etl/sluice/internal/ops.version=${VERSION} -X github.com/sluice-etl/sluice/internal/ops.commit=${COMMIT}" \
    -o /out/sluice ./cmd/sluice

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /usr/local/go/lib/time/zoneinfo.zip /
COPY --from=build /out/sluice /
ENV SLUICE_HTTP_ADDR=:9464 \
    ZONEINFO=/zoneinfo.zip
EXPOSE 9464
# A number, so that an orchestrator can see that it is not root's without a file of users.
USER 65532:65532
STOPSIGNAL SIGTERM
# Amazon ECS and Kubernetes have checks of their own, in deploy.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=6 CMD ["/sluice", "health"]
ENTRYPOINT ["/sluice"]
