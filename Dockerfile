# A static binary in an empty image: no shell, no root. .git is in the build's context,
# because the Go toolchain stamps version and commit from it.
#
#   docker build --build-arg VERSION=$(git describe --tags --always) \
#     --build-arg REVISION=$(git rev-parse HEAD) -t zitadel-v1-adapter .
FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH
# Without grpc-go's debug pages, which the adapter does not serve.
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -buildvcs=true -trimpath -tags=grpcnotrace -ldflags="-s -w" -o /zitadel-v1-adapter ./cmd/zitadel-v1-adapter

FROM scratch
ARG VERSION=devel REVISION=unknown
LABEL org.opencontainers.image.title="zitadel-v1-adapter" \
      org.opencontainers.image.source="https://git.example.com/identity/zitadel-v1-adapter" \
      org.opencontainers.image.description="Answers deprecated v1 calls of ZITADEL by way of v2" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /zitadel-v1-adapter /zitadel-v1-adapter
# Inside a container, loopback is of no use to others.
ENV V1ADAPTER_SERVER_LISTEN=:8080 V1ADAPTER_ADMIN_LISTEN=:9090
USER 65532:65532
EXPOSE 8080 9090
HEALTHCHECK --interval=5s --timeout=3s --start-period=2s CMD ["/zitadel-v1-adapter", "health"]
ENTRYPOINT ["/zitadel-v1-adapter"]
