{{/* The pod of one component: (list . "edge" "edge"): component name in values, role of the executable. */}}
{{- define "carillon.pod" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $role := index . 2 -}}
{{- $values := index $root.Values $component -}}
{{- $isEdge := eq $component "edge" -}}
{{- $hostNetwork := and $isEdge (eq $root.Values.edge.exposure "hostNetwork") -}}
metadata:
  labels:
    {{- include "carillon.labels" (list $root $component $values.podLabels) | nindent 4 }}
  annotations:
    {{- $checksum := dict "checksum/config" (include (print $root.Template.BasePath "/configmap.yaml") $root | sha256sum) }}
    {{- merge $checksum $values.podAnnotations $root.Values.global.annotations | toYaml | nindent 4 }}
spec:
  serviceAccountName: {{ include "carillon.serviceAccountName" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with $root.Values.global.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- if $hostNetwork }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  # The time of the preStop sleep, of the drain, and some to write the last things down: computed, never typed in.
  terminationGracePeriodSeconds: {{ add $values.preStopSeconds $values.drainSeconds 15 }}
  securityContext:
    {{- include "carillon.override" (list $values.podSecurityContext (dict "runAsNonRoot" true "runAsUser" 65532 "runAsGroup" 65532 "fsGroup" 65532 "seccompProfile" (dict "type" "RuntimeDefault"))) | nindent 4 }}
  containers:
    - name: {{ $role }}
      image: {{ include "carillon.image" $root }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: ["serve", "--config", "/etc/carillon/carillon.toml"]
      ports:
        - name: grpc
          containerPort: {{ $root.Values.grpc.port }}
        - name: admin
          containerPort: {{ $root.Values.admin.port }}
        {{- if $isEdge }}
        - name: sip-udp
          containerPort: {{ $values.ports.udp }}
          protocol: UDP
          {{- if $hostNetwork }}
          hostPort: {{ $values.ports.udp }}
          {{- end }}
        - name: sip-tcp
          containerPort: {{ $values.ports.tcp }}
          {{- if $hostNetwork }}
          hostPort: {{ $values.ports.tcp }}
          {{- end }}
        {{- range (include "carillon.streams" $root | splitList "," | compact) }}
        - name: sip-{{ . }}
          containerPort: {{ index $values.ports . }}
          {{- if $hostNetwork }}
          hostPort: {{ index $values.ports . }}
          {{- end }}
        {{- end }}
        {{- if $values.internalTls.existingSecret }}
        - name: sip-internal
          containerPort: {{ $values.internalTls.port }}
          {{- if $hostNetwork }}
          hostPort: {{ $values.internalTls.port }}
          {{- end }}
        {{- end }}
        {{- end }}
      env:
        - name: POD_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        - name: POD_IP
          valueFrom: {fieldRef: {fieldPath: status.podIP}}
        - name: POD_UID
          valueFrom: {fieldRef: {fieldPath: metadata.uid}}
        - name: NODE_NAME
          valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
        - name: HOST_IP
          valueFrom: {fieldRef: {fieldPath: status.hostIP}}
        {{- if and $isEdge (eq $root.Values.edge.exposure "perPod") }}
        - name: POD_INDEX
          valueFrom: {fieldRef: {fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']"}}
        {{- end }}
        - name: CARILLON_ID
          value: $(POD_NAME)
        - name: CARILLON_ROLES
          value: {{ $role }}
        - name: CARILLON_API
          value: {{ printf "%s:%d" (include "carillon.anyAddress" $root) (int $root.Values.grpc.port) | quote }}
        - name: CARILLON_ADMIN
          value: {{ printf "%s:%d" (include "carillon.anyAddress" $root) (int $root.Values.admin.port) | quote }}
        - name: CARILLON_DRAIN
          value: {{ $values.drainSeconds }}s
        - name: CARILLON_CLUSTER_URL
          value: http://$(POD_IP):{{ $root.Values.grpc.port }}
        - name: CARILLON_PEERS
          value: {{ include "carillon.peers" $root | quote }}
        - name: CARILLON_API_TOKEN_FILE
          value: /etc/carillon/api-tokens/{{ $root.Values.api.existingSecretKey }}
        - name: CARILLON_CLUSTER_TOKEN
          valueFrom:
            secretKeyRef:
              name: {{ $root.Values.api.existingSecret }}
              key: {{ $root.Values.api.clusterTokenKey }}
        {{- if $isEdge }}
        - name: CARILLON_SIP
          value: {{ include "carillon.sipListeners" $root | quote }}
        - name: CARILLON_ADVERTISE
          value: {{ include "carillon.advertise" $root | quote }}
        {{- range $stream := (include "carillon.streams" $root | splitList "," | compact) }}
        {{- with include "carillon.advertiseStream" (list $root $stream) }}
        - name: CARILLON_SIP_ADVERTISE_{{ upper $stream }}
          value: {{ . | quote }}
        {{- end }}
        {{- end }}
        {{- if $values.tls.existingSecret }}
        - name: CARILLON_TLS_CERT
          value: /etc/carillon/tls/tls.crt
        - name: CARILLON_TLS_KEY
          value: /etc/carillon/tls/tls.key
        {{- end }}
        {{- if $values.tls.caSecret }}
        - name: CARILLON_TLS_CA
          value: /etc/carillon/tls-ca/ca.crt
        {{- end }}
        {{- if $values.internalTls.existingSecret }}
        # In the family in which the pods reach each other.
        - name: CARILLON_INTERNAL_TLS_LISTEN
          value: {{ printf "%s:%d" (ternary "[::]" "0.0.0.0" (eq (first $root.Values.ipFamilies) "IPv6")) (int $values.internalTls.port) | quote }}
        - name: CARILLON_INTERNAL_TLS_CERT
          value: /etc/carillon/internal-tls/tls.crt
        - name: CARILLON_INTERNAL_TLS_KEY
          value: /etc/carillon/internal-tls/tls.key
        - name: CARILLON_INTERNAL_TLS_CA
          value: /etc/carillon/internal-tls/ca.crt
        {{- end }}
        {{- else if and $root.Values.redis.existingSecret (not $root.Values.redis.deploy) }}
        - name: CARILLON_REDIS
          valueFrom:
            secretKeyRef:
              name: {{ $root.Values.redis.existingSecret }}
              key: {{ $root.Values.redis.existingSecretKey }}
        {{- else }}
        - name: CARILLON_REDIS
          value: {{ include "carillon.redisUrl" $root | quote }}
        {{- end }}
        {{- if and (eq $role "registrar") $root.Values.registrar.push.existingSecret }}
        - name: CARILLON_PUSH_TOKEN
          valueFrom:
            secretKeyRef:
              name: {{ $root.Values.registrar.push.existingSecret }}
              key: {{ $root.Values.registrar.push.existingSecretKey }}
        {{- end }}
        {{- if and (eq $role "registrar") $root.Values.registrar.spending.urls }}
        - name: CARILLON_SPENDING_URLS
          value: {{ join "," $root.Values.registrar.spending.urls | quote }}
        - name: CARILLON_SPENDING_TIMEOUT
          value: {{ $root.Values.registrar.spending.timeout | quote }}
        - name: CARILLON_SPENDING_SILENT
          value: {{ $root.Values.registrar.spending.silent | quote }}
        {{- if $root.Values.registrar.spending.existingSecret }}
        - name: CARILLON_SPENDING_TOKEN
          valueFrom:
            secretKeyRef:
              name: {{ $root.Values.registrar.spending.existingSecret }}
              key: {{ $root.Values.registrar.spending.existingSecretKey }}
        {{- end }}
        {{- if $root.Values.registrar.spending.existingCaConfigMap }}
        - name: CARILLON_SPENDING_CA
          value: /etc/carillon/spending-ca/ca.crt
        {{- end }}
        {{- end }}
        {{- if (($values.resources).requests).cpu }}
        # As many worker threads as the pod asks for cores.
        - name: TOKIO_WORKER_THREADS
          valueFrom: {resourceFieldRef: {containerName: {{ $role }}, resource: requests.cpu}}
        {{- end }}
        {{- with $values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- /* Three handlers for three questions: started, loop alive, sockets bound and configuration loaded. None asks Redis. */}}
      startupProbe:
        {{- include "carillon.probe" (list $values.startupProbe "tcpSocket" (dict "port" "admin") (dict "periodSeconds" 1 "failureThreshold" 30)) | nindent 8 }}
      livenessProbe:
        {{- include "carillon.probe" (list $values.livenessProbe "httpGet" (dict "path" "/livez" "port" "admin") (dict "periodSeconds" 10 "timeoutSeconds" 3 "failureThreshold" 3)) | nindent 8 }}
      readinessProbe:
        {{- include "carillon.probe" (list $values.readinessProbe "httpGet" (dict "path" "/readyz" "port" "admin") (dict "periodSeconds" 5 "timeoutSeconds" 3 "failureThreshold" 3)) | nindent 8 }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ $values.preStopSeconds }}
      {{- with $values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- include "carillon.override" (list $values.securityContext (dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "runAsNonRoot" true "capabilities" (dict "drop" (list "ALL")))) | nindent 8 }}
      volumeMounts:
        - name: config
          mountPath: /etc/carillon
          readOnly: true
        {{- with $values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    # Whole folders, no subPath: a changed Secret arrives in the running pod.
    - name: config
      projected:
        sources:
          - configMap:
              name: {{ include "carillon.componentName" (list $root "config") }}
          - secret:
              name: {{ $root.Values.api.existingSecret }}
              items:
                - key: {{ $root.Values.api.existingSecretKey }}
                  path: api-tokens/{{ $root.Values.api.existingSecretKey }}
          {{- if and (eq $role "registrar") $root.Values.registrar.spending.urls $root.Values.registrar.spending.existingCaConfigMap }}
          - configMap:
              name: {{ $root.Values.registrar.spending.existingCaConfigMap }}
              items:
                - key: {{ $root.Values.registrar.spending.existingCaConfigMapKey }}
                  path: spending-ca/ca.crt
          {{- end }}
          {{- if $isEdge }}
          {{- with $values.tls.existingSecret }}
          - secret:
              name: {{ . }}
              items:
                - {key: tls.crt, path: tls/tls.crt}
                - {key: tls.key, path: tls/tls.key}
          {{- end }}
          {{- with $values.tls.caSecret }}
          - secret:
              name: {{ . }}
              items:
                - {key: ca.crt, path: tls-ca/ca.crt}
          {{- end }}
          {{- range (include "carillon.domainSecrets" $root | splitList "," | compact) }}
          - secret:
              name: {{ . }}
              items:
                - {key: tls.crt, path: tls-domains/{{ . }}/tls.crt}
                - {key: tls.key, path: tls-domains/{{ . }}/tls.key}
          {{- end }}
          {{- with $values.internalTls.existingSecret }}
          - secret:
              name: {{ . }}
              items:
                - {key: tls.crt, path: internal-tls/tls.crt}
                - {key: tls.key, path: internal-tls/tls.key}
                - {key: ca.crt, path: internal-tls/ca.crt}
          {{- end }}
          {{- end }}
    {{- with $values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if $values.affinity }}
  affinity:
    {{- toYaml $values.affinity | nindent 4 }}
  {{- else if and $hostNetwork (eq (include "carillon.edgeKind" $root) "Deployment") }}
  # Two edges on one node would want the same ports.
  affinity:
    podAntiAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        - topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "carillon.selectorLabels" (list $root $component) | nindent 14 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $values.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- if $values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml $values.topologySpreadConstraints | nindent 4 }}
  {{- else if not (and $isEdge (eq (include "carillon.edgeKind" $root) "DaemonSet")) }}
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "carillon.selectorLabels" (list $root $component) | nindent 10 }}
      {{- if not (and $isEdge (eq (include "carillon.edgeKind" $root) "StatefulSet")) }}
      matchLabelKeys: [pod-template-hash]
      {{- end }}
    {{- end }}
  {{- end }}
{{- end -}}

{{/* A Deployment of one component: (list . "registrar" "registrar"). */}}
{{- define "carillon.deployment" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $values := index $root.Values $component -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "carillon.metadata" (list $root $component $component dict) | nindent 2 }}
spec:
  {{- if not $values.autoscaling.enabled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      {{- if and (eq $component "edge") (eq $root.Values.edge.exposure "hostNetwork") }}
      # The new pod wants the ports of the old one.
      maxSurge: 0
      maxUnavailable: 1
      {{- else }}
      maxSurge: 1
      maxUnavailable: 0
      {{- end }}
  selector:
    matchLabels:
      {{- include "carillon.selectorLabels" (list $root $component) | nindent 6 }}
  template:
    {{- include "carillon.pod" . | nindent 4 }}
{{- end -}}

{{/* A headless Service: clients see every pod and balance by themselves (a ClusterIP pins an HTTP/2 connection). */}}
{{- define "carillon.grpcService" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "carillon.metadata" (list $root $component (printf "%s-grpc" $component) dict) | nindent 2 }}
spec:
  clusterIP: None
  # A draining pod still serves what it has begun.
  publishNotReadyAddresses: false
  selector:
    {{- include "carillon.selectorLabels" (list $root $component) | nindent 4 }}
  ports:
    - name: grpc
      port: {{ $root.Values.grpc.port }}
      targetPort: grpc
      appProtocol: kubernetes.io/h2c
    - name: admin
      port: {{ $root.Values.admin.port }}
      targetPort: admin
{{- end -}}
