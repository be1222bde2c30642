# A static binary in an empty image: no shell, no root.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /zitadel-v1-adapter ./cmd/zitadel-v1-adapter

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /zitadel-v1-adapter /zitadel-v1-adapter
# Inside a container, loopback is of no use to others.
ENV V1ADAPTER_SERVER_LISTEN=:8080 V1ADAPTER_ADMIN_LISTEN=:9090
USER 65532:65532
EXPOSE 8080 9090
ENTRYPOINT ["/zitadel-v1-adapter"]
