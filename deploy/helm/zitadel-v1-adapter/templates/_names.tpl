{{- define "zitadel-v1-adapter.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "zitadel-v1-adapter.fullname" -}}
{{- $name := include "zitadel-v1-adapter.name" . }}
{{- $full := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- .Values.fullnameOverride | default $full | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "zitadel-v1-adapter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "zitadel-v1-adapter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "zitadel-v1-adapter.labels" -}}
{{- include "zitadel-v1-adapter.labelsAnd" (list . dict) }}
{{- end }}

{{- /* The labels of an object that has some of its own, which override commonLabels. */}}
{{- define "zitadel-v1-adapter.labelsAnd" -}}
{{- with first . -}}
{{ include "zitadel-v1-adapter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- with merge (dict) (last . | default dict) ((first .).Values.commonLabels | default dict) }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "zitadel-v1-adapter.serviceAccountName" -}}
{{- $default := .Values.serviceAccount.create | ternary (include "zitadel-v1-adapter.fullname" .) "default" }}
{{- .Values.serviceAccount.name | default $default }}
{{- end }}
