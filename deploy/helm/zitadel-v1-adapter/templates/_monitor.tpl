{{- /* How Prometheus asks the admin port, for the monitor whose values are named. */}}
{{- define "zitadel-v1-adapter.endpoint" -}}
{{- $values := (first .).Values }}
{{- $monitor := index $values (last .) }}
{{- with $values.secrets }}
{{- if not (or .adminToken.name (and .adminTLS.name .adminTLS.clientCA)) }}
{{- fail (printf "%s.enabled: the adapter refuses /metrics to Prometheus without a token: set secrets.adminToken.name, or secrets.adminTLS with clientCA" (last $)) }}
{{- end -}}
port: admin
path: /metrics
{{- with $monitor.interval }}
interval: {{ . }}
{{- end }}
{{- if .adminTLS.name }}
scheme: https
{{- end }}
{{- with $monitor.tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .adminToken.name }}
authorization:
  credentials: {name: {{ .adminToken.name }}, key: {{ .adminToken.key }}}
{{- end }}
relabelings:
  # The name that the alerts and the dashboard ask for, whatever the release is called.
  - {targetLabel: job, replacement: zitadel-v1-adapter}
{{- end }}
{{- end }}
