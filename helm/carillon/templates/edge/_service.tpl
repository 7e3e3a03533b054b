{{/* A Service for phones: (list . suffix protocols selector-labels-extra). Protocols: list of udp, tcp, tls, ws, wss; the first one
has the annotations and the address. */}}
{{- define "carillon.sipService" -}}
{{- $root := index . 0 -}}
{{- $suffix := index . 1 -}}
{{- $protocols := index . 2 -}}
{{- $extra := index . 3 -}}
{{- $edge := $root.Values.edge -}}
{{- $own := index $edge.services (first $protocols) -}}
{{- $type := "ClusterIP" -}}
{{- if or (eq $edge.exposure "loadBalancer") (eq $edge.exposure "perPod") }}{{ $type = "LoadBalancer" }}{{ end -}}
{{- if eq $edge.exposure "nodePort" }}{{ $type = "NodePort" }}{{ end -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "carillon.metadata" (list $root "edge" $suffix $own.annotations) | nindent 2 }}
spec:
  type: {{ $type }}
  ipFamilyPolicy: {{ $edge.services.ipFamilyPolicy }}
  {{- if ne $type "ClusterIP" }}
  externalTrafficPolicy: {{ $edge.services.externalTrafficPolicy }}
  {{- end }}
  {{- if eq $type "LoadBalancer" }}
  {{- with $edge.services.loadBalancerClass }}
  loadBalancerClass: {{ . }}
  {{- end }}
  {{- with $own.loadBalancerIP }}
  loadBalancerIP: {{ . }}
  {{- end }}
  {{- with $edge.services.loadBalancerSourceRanges }}
  loadBalancerSourceRanges:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- if gt (int $edge.services.sessionAffinitySeconds) 0 }}
  sessionAffinity: ClientIP
  sessionAffinityConfig:
    clientIP:
      timeoutSeconds: {{ $edge.services.sessionAffinitySeconds }}
  {{- end }}
  selector:
    {{- include "carillon.selectorLabels" (list $root "edge") | nindent 4 }}
    {{- with $extra }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    {{- range $protocols }}
    - name: sip-{{ . }}
      protocol: {{ ternary "UDP" "TCP" (eq . "udp") }}
      port: {{ index $edge.ports . }}
      targetPort: sip-{{ . }}
      {{- if eq $type "NodePort" }}
      nodePort: {{ (index $edge.services .).nodePort }}
      {{- end }}
    {{- end }}
{{- end -}}
