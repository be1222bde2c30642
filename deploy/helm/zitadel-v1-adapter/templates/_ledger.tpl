{{- /* The path of the ledger's SQLite file; nothing if the ledger is elsewhere. */}}
{{- define "zitadel-v1-adapter.sqlite" -}}
{{- $store := dig "usage" "store" "" .Values.config | default "" | toString }}
{{- if not (or .Values.secrets.usageStore.name (dig "usage" "storeFile" "" .Values.config)) }}
{{- if hasPrefix "sqlite:" $store }}
{{- trimPrefix "sqlite:" $store }}
{{- else if and .Values.persistence.enabled (not $store) }}
{{- "/var/lib/zitadel-v1-adapter/usage.db" }}
{{- end }}
{{- end }}
{{- end }}

{{- /* The claim of the volume that keeps the ledger. */}}
{{- define "zitadel-v1-adapter.claimName" -}}
{{- .Values.persistence.existingClaim | default (include "zitadel-v1-adapter.fullname" .) }}
{{- end }}

{{- /* The security of the pod. A volume belongs to root, unless the pod says which group may write to it. */}}
{{- define "zitadel-v1-adapter.podSecurityContext" -}}
{{- $group := .Values.securityContext.runAsGroup }}
{{- $default := and .Values.persistence.enabled (not (empty $group)) | ternary (dict "fsGroup" $group "fsGroupChangePolicy" "OnRootMismatch") dict }}
{{- with merge (dict) (.Values.podSecurityContext | default dict) $default }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{- /* How pods are replaced. A SQLite file is for one pod, and most volumes are for one node: the old pod goes first. */}}
{{- define "zitadel-v1-adapter.strategy" -}}
{{- $default := include "zitadel-v1-adapter.sqlite" . | empty | ternary dict (dict "type" "Recreate") }}
{{- with .Values.strategy | default $default }}
{{- toYaml . }}
{{- end }}
{{- end }}
