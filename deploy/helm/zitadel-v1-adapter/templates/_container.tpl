{{- /*
The adapter as a sidecar, for charts that have this one as a dependency with mode: sidecar.

In the list of a pod's initContainers:
  {{- include "zitadel-v1-adapter.sidecar" (index .Subcharts "zitadel-v1-adapter") | nindent 8 }}
and in that of its volumes:
  {{- include "zitadel-v1-adapter.volumes" (index .Subcharts "zitadel-v1-adapter") | nindent 8 }}

The application calls http://127.0.0.1 at ports.http. Values are this chart's, under the name of the dependency.
deploy/helm/legacy-app is an example.
*/}}
{{- define "zitadel-v1-adapter.sidecar" -}}
{{- if ne .Values.mode "sidecar" }}
{{- fail (printf "mode: %q: set it to sidecar for the template zitadel-v1-adapter.sidecar" .Values.mode) }}
{{- end -}}
- name: zitadel-v1-adapter
  # Ready before the application starts, and there until after it has ended, also in a Job.
  restartPolicy: Always
  {{- include "zitadel-v1-adapter.container" . | nindent 2 }}
  startupProbe:
    {{- include "zitadel-v1-adapter.probe" (list . "/readyz" .Values.startupProbe) | nindent 4 }}
{{- end }}

{{- /* The container, without what sidecars have besides. */}}
{{- define "zitadel-v1-adapter.container" -}}
image: {{ include "zitadel-v1-adapter.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [--config, /etc/zitadel-v1-adapter/config/config.yaml{{ range .Values.extraArgs }}, {{ toJson . }}{{ end }}]
env:
  {{- include "zitadel-v1-adapter.environment" . | nindent 2 }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  {{- if eq .Values.mode "gateway" }}
  - {name: http, containerPort: {{ .Values.ports.http }}}
  {{- end }}
  - {name: admin, containerPort: {{ .Values.ports.admin }}}
readinessProbe:
  {{- include "zitadel-v1-adapter.probe" (list . "/readyz" .Values.readinessProbe) | nindent 2 }}
livenessProbe:
  {{- include "zitadel-v1-adapter.probe" (list . "/healthz" .Values.livenessProbe) | nindent 2 }}
{{- with .Values.lifecycle }}
lifecycle:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
volumeMounts:
  # A folder, not a file of it: only so are changes seen.
  - {name: zitadel-v1-adapter-config, mountPath: /etc/zitadel-v1-adapter/config, readOnly: true}
  {{- range $name, $_ := include "zitadel-v1-adapter.secretVolumes" . | fromYaml }}
  - {name: zitadel-v1-adapter-{{ $name }}, mountPath: /etc/zitadel-v1-adapter/{{ $name }}, readOnly: true}
  {{- end }}
  {{- if .Values.persistence.enabled }}
  - {name: zitadel-v1-adapter-ledger, mountPath: {{ include "zitadel-v1-adapter.sqlite" . | dir | quote }}}
  {{- end }}
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "zitadel-v1-adapter.image" -}}
{{- with .Values.image }}
{{- .repository }}{{ .digest | empty | ternary (printf ":%s" (.tag | default $.Chart.AppVersion)) (printf "@%s" .digest) }}
{{- end }}
{{- end }}

{{- define "zitadel-v1-adapter.probe" -}}
{{- $values := (first .).Values -}}
httpGet: {path: {{ index . 1 }}, port: admin{{ if $values.secrets.adminTLS.name }}, scheme: HTTPS{{ end }}}
{{- with last . }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /*
What belongs to the pod is in variables, which override the file: it changes with the pod, and
the file in pods that are there already.
*/}}
{{- define "zitadel-v1-adapter.environment" -}}
{{- $files := "/etc/zitadel-v1-adapter" }}
{{- if eq .Values.mode "sidecar" -}}
# Only containers of this pod; the image's default is every address.
- {name: V1ADAPTER_SERVER_LISTEN, value: "127.0.0.1:{{ .Values.ports.http }}"}
{{- else -}}
- {name: V1ADAPTER_SERVER_LISTEN, value: ":{{ .Values.ports.http }}"}
{{- end }}
# Probes come to the pod's address. /metrics there wants a token besides (admin.tokenFile).
- {name: V1ADAPTER_ADMIN_LISTEN, value: ":{{ .Values.ports.admin }}"}
{{- with .Values.secrets }}
{{- if .serverTLS.name }}
- {name: V1ADAPTER_SERVER_TLS_CERTFILE, value: {{ $files }}/server-tls/tls.crt}
- {name: V1ADAPTER_SERVER_TLS_KEYFILE, value: {{ $files }}/server-tls/tls.key}
{{- if .serverTLS.clientCA }}
- {name: V1ADAPTER_SERVER_TLS_CLIENTCAFILE, value: {{ $files }}/server-tls/ca.crt}
{{- end }}
{{- end }}
{{- if .adminToken.name }}
- {name: V1ADAPTER_ADMIN_TOKENFILE, value: {{ $files }}/admin-token/token}
{{- end }}
{{- if .adminTLS.name }}
- {name: V1ADAPTER_ADMIN_TLS_CERTFILE, value: {{ $files }}/admin-tls/tls.crt}
- {name: V1ADAPTER_ADMIN_TLS_KEYFILE, value: {{ $files }}/admin-tls/tls.key}
{{- if .adminTLS.clientCA }}
- {name: V1ADAPTER_ADMIN_TLS_CLIENTCAFILE, value: {{ $files }}/admin-tls/ca.crt}
{{- end }}
{{- end }}
{{- if .upstreamTLS.name }}
{{- if .upstreamTLS.ca }}
- {name: V1ADAPTER_UPSTREAM_TLS_CAFILE, value: {{ $files }}/upstream-tls/ca.crt}
{{- end }}
{{- if .upstreamTLS.clientCertificate }}
- {name: V1ADAPTER_UPSTREAM_TLS_CERTFILE, value: {{ $files }}/upstream-tls/tls.crt}
- {name: V1ADAPTER_UPSTREAM_TLS_KEYFILE, value: {{ $files }}/upstream-tls/tls.key}
{{- end }}
{{- end }}
{{- if .usageStore.name }}
- name: V1ADAPTER_USAGE_STORE
  valueFrom:
    secretKeyRef: {name: {{ .usageStore.name }}, key: {{ .usageStore.key }}}
{{- end }}
{{- end }}
{{- end }}

{{- /* The volumes of secrets, by the name of their folder. */}}
{{- define "zitadel-v1-adapter.secretVolumes" -}}
{{- with .Values.secrets }}
{{- with .serverTLS.name }}
server-tls: {secretName: {{ . }}}
{{- end }}
{{- if .adminToken.name }}
admin-token: {secretName: {{ .adminToken.name }}, items: [{key: {{ .adminToken.key }}, path: token}]}
{{- end }}
{{- with .adminTLS.name }}
admin-tls: {secretName: {{ . }}}
{{- end }}
{{- with .upstreamTLS.name }}
upstream-tls: {secretName: {{ . }}}
{{- end }}
{{- end }}
{{- end }}

{{- /* The volumes of the pod. */}}
{{- define "zitadel-v1-adapter.volumes" -}}
- name: zitadel-v1-adapter-config
  configMap: {name: {{ include "zitadel-v1-adapter.fullname" . }}}
{{- range $name, $secret := include "zitadel-v1-adapter.secretVolumes" . | fromYaml }}
- name: zitadel-v1-adapter-{{ $name }}
  secret:
    {{- toYaml $secret | nindent 4 }}
{{- end }}
{{- if .Values.persistence.enabled }}
- name: zitadel-v1-adapter-ledger
  persistentVolumeClaim: {claimName: {{ include "zitadel-v1-adapter.claimName" . }}}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
