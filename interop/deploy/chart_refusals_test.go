package deploy_test

import (
	"strings"
	"testing"
)

// What cannot work is refused before anything is changed in the cluster, with the value's path.
func TestChartRefusesWrongValues(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]struct {
		set  []string
		want []string
	}{
		"no upstream":                    {[]string{"config.upstream.url="}, []string{"config.upstream.url: missing: set it to the base URL of ZITADEL"}},
		"an unknown value":               {[]string{"replicas=3"}, []string{"additional properties 'replicas' not allowed"}},
		"an unknown value in a section":  {[]string{"route.hosts={a}"}, []string{"/route", "'hosts' not allowed"}},
		"another mode":                   {[]string{"mode=daemonset"}, []string{"/mode", "'gateway', 'sidecar'"}},
		"an unknown key":                 {[]string{"config.upstream.uri=x"}, []string{"/config/upstream", "'uri' not allowed"}},
		"a key that the chart sets":      {[]string{"config.server.listen=:80"}, []string{"/config/server", "'listen' not allowed"}},
		"a file that the chart mounts":   {[]string{"config.admin.tokenFile=/x"}, []string{"/config/admin", "'tokenFile' not allowed"}},
		"a duration without unit":        {[]string{"config.server.shutdownDelay=10"}, []string{"/config/server/shutdownDelay", "want string"}},
		"a duration of nonsense":         {[]string{"config.server.shutdownDelay=soon"}, []string{"/config/server/shutdownDelay", "does not match pattern"}},
		"a percent that is none":         {[]string{"config.rollout.percent=150"}, []string{"/config/rollout/percent", "maximum: got 150, want 100"}},
		"a level that is none":           {[]string{"config.log.level=loud"}, []string{"/config/log/level"}},
		"a user's id as a number":        {[]string{"config.deprecation.exempt={400850336480234534}"}, []string{"/config/deprecation/exempt/0", "want string"}},
		"a password of the usage store":  {[]string{"config.usage.store=postgres://v1adapter:secret@db/zitadel"}, []string{"config.usage.store: it has a password", "secrets.usageStore"}},
		"same, as a parameter":           {[]string{"config.usage.store=postgres://v1adapter@db/zitadel?password=secret"}, []string{"config.usage.store: it has a password"}},
		"the token itself":               {[]string{"secrets.adminToken=secret"}, []string{"/secrets/adminToken", "want object"}},
		"a Secret's name that is none":   {[]string{"secrets.serverTLS.name=My Secret"}, []string{"/secrets/serverTLS/name", "does not match pattern"}},
		"a port that is none":            {[]string{"ports.http=80800"}, []string{"/ports/http", "maximum"}},
		"a digest that is none":          {[]string{"image.digest=latest"}, []string{"/image/digest", "does not match pattern"}},
		"a tag as a number":              {[]string{"image.tag=7"}, []string{"/image/tag", "want string"}},
		"a route from nowhere":           {[]string{"route.enabled=true"}, []string{"/route/parentRefs", "minItems"}},
		"TLS to a listener without":      {[]string{"route.enabled=true", "route.parentRefs[0].name=g", "route.backendTLS.hostname=a"}, []string{"route.backendTLS.hostname: the adapter speaks plain text: set secrets.serverTLS.name"}},
		"metrics without a token":        {[]string{"serviceMonitor.enabled=true", "secrets.adminTLS.clientCA=true"}, []string{"serviceMonitor.enabled: the adapter refuses /metrics", "secrets.adminToken.name"}},
		"no pod that may be away":        {[]string{"podDisruptionBudget.maxUnavailable=0"}, []string{"/podDisruptionBudget/maxUnavailable", "minimum"}},
		"a percent as text":              {[]string{"config.rollout.percent=150%"}, []string{"/config/rollout/percent"}},
		"shadow without native v1":       {[]string{"config.rollout.shadow=true"}, []string{"config.rollout.shadow: with config.rollout.percent 100", "set a lower percent"}},
		"a format that is none":          {[]string{"config.log.format=xml"}, []string{"/config/log/format"}},
		"clients' port as admin's":       {[]string{"ports.admin=8080"}, []string{"ports.admin: 8080 is ports.http already: set another one"}},
		"one port of the Service twice":  {[]string{"ports.grpc=9090"}, []string{"ports.admin: 9090 is ports.grpc already"}},
		"same, as a sidecar":             {[]string{"mode=sidecar", "ports.http=9090"}, []string{"ports.admin: 9090 is ports.http already"}},
		"more at least than at most":     {[]string{"autoscaling.enabled=true", "autoscaling.minReplicas=7"}, []string{"autoscaling.minReplicas: 7 is more than autoscaling.maxReplicas, 6"}},
		"scaling by nothing":             {[]string{"autoscaling.enabled=true", "autoscaling.targetCPUUtilizationPercentage=0"}, []string{"autoscaling.enabled: nothing is aimed at"}},
		"SQLite for several pods":        {[]string{"persistence.enabled=true"}, []string{"config.usage.store: sqlite:/var/lib/zitadel-v1-adapter/usage.db is for one pod, and there may be 2: set replicaCount to 1", "secrets.usageStore"}},
		"same, scaled":                   {[]string{"replicaCount=1", "autoscaling.enabled=true", "persistence.enabled=true"}, []string{"is for one pod, and there may be 6", "autoscaling.enabled to false"}},
		"SQLite without a volume":        {[]string{"replicaCount=1", "config.usage.store=sqlite:/data/usage.db"}, []string{"config.usage.store: sqlite:/data/usage.db: no volume keeps that file: set persistence.enabled, or mount a volume of your own at /data"}},
		"same, as a sidecar's":           {[]string{"mode=sidecar", "config.usage.store=sqlite:/data/usage.db"}, []string{"no volume keeps that file"}},
		"SQLite beside a volume":         {[]string{"replicaCount=1", "config.usage.store=sqlite:/database/usage.db", "extraVolumeMounts[0].name=a", "extraVolumeMounts[0].mountPath=/data"}, []string{"no volume keeps that file"}},
		"SQLite on what is only read":    {[]string{"replicaCount=1", "config.usage.store=sqlite:/data/usage.db", "extraVolumeMounts[0].name=a", "extraVolumeMounts[0].mountPath=/data", "extraVolumeMounts[0].readOnly=true"}, []string{"no volume keeps that file"}},
		"SQLite in no folder":            {[]string{"replicaCount=1", "persistence.enabled=true", "config.usage.store=sqlite:usage.db"}, []string{"config.usage.store: sqlite:usage.db: set an absolute path"}},
		"SQLite at the root":             {[]string{"replicaCount=1", "persistence.enabled=true", "config.usage.store=sqlite:/usage.db"}, []string{"set an absolute path in a folder that a volume can be"}},
		"a volume for PostgreSQL":        {[]string{"replicaCount=1", "persistence.enabled=true", "secrets.usageStore.name=adapter-usage"}, []string{"persistence.enabled: the ledger is in a PostgreSQL"}},
		"a sidecar's own volume":         {[]string{"mode=sidecar", "persistence.enabled=true"}, []string{"persistence.enabled: the pod of a sidecar is another chart's", "extraVolumeMounts"}},
		"two ledgers":                    {[]string{"config.usage.store=postgres://v1adapter@db/zitadel", "secrets.usageStore.name=adapter-usage"}, []string{"config.usage.store: secrets.usageStore names a database too"}},
		"two addresses":                  {[]string{"config.usage.storeFile=/run/usage.store", "secrets.usageStore.name=adapter-usage"}, []string{"config.usage.storeFile: config.usage.store or secrets.usageStore names"}},
		"another database":               {[]string{"config.usage.store=mysql://v1adapter@db/zitadel"}, []string{"config.usage.store: it is neither sqlite: and a path nor a URL"}},
		"a size that is none":            {[]string{"persistence.size=large"}, []string{"/persistence/size", "does not match pattern"}},
		"a volume that is only read":     {[]string{"persistence.accessModes={ReadOnlyMany}"}, []string{"/persistence/accessModes/0"}},
		"an ingress for nobody":          {[]string{"ingress.enabled=true"}, []string{"/ingress/hosts", "minItems"}},
		"hosts as helm create has them":  {[]string{"ingress.hosts[0].host=zitadel.example.com"}, []string{"/ingress/hosts/0", "want string"}},
		"a type of Service for others":   {[]string{"service.type=ExternalName"}, []string{"/service/type", "'ClusterIP', 'NodePort', 'LoadBalancer'"}},
		"a probe of another kind":        {[]string{"readinessProbe.httpGet.path=/"}, []string{"/readinessProbe", "'httpGet' not allowed"}},
		"a probe's time as text":         {[]string{"livenessProbe.timeoutSeconds=3s"}, []string{"/livenessProbe/timeoutSeconds", "want integer"}},
		"a label by which pods are told": {[]string{"podLabels.app\\.kubernetes\\.io/name=proxy"}, []string{"/podLabels/app.kubernetes.io~1name"}},
		"the chart's label":              {[]string{"commonLabels.helm\\.sh/chart=proxy"}, []string{"/commonLabels/helm.sh~1chart"}},
		"another file":                   {[]string{"extraArgs={--config=/x}"}, []string{"extraArgs: --config: the chart sets that itself: set config instead"}},
		"another port":                   {[]string{"extraArgs={--listen,:80}"}, []string{"extraArgs: --listen: the chart sets that itself: set ports.http instead"}},
		"another admin port":             {[]string{"extraArgs={--set,admin.listen=:80}"}, []string{"extraArgs: admin.listen: the chart sets that itself: set ports.admin instead"}},
		"arguments as a map":             {[]string{"extraArgs.provider=github"}, []string{"/extraArgs", "want array"}},
		"an interval without unit":       {[]string{"serviceMonitor.interval=30"}, []string{"/serviceMonitor/interval"}},
		"sidecars of a gateway":          {[]string{"podMonitor.enabled=true", "podMonitor.matchLabels.app=x"}, []string{"podMonitor.enabled: it is for sidecars: set serviceMonitor.enabled"}},
		"sidecars of nobody":             {[]string{"mode=sidecar", "podMonitor.enabled=true"}, []string{"/podMonitor/matchLabels", "minProperties"}},
		"sidecars' metrics":              {[]string{"mode=sidecar", "podMonitor.enabled=true", "podMonitor.matchLabels.app=x"}, []string{"podMonitor.enabled: the adapter refuses /metrics", "secrets.adminToken.name"}},
		"a volume that is no object":     {[]string{"extraVolumes={data}"}, []string{"/extraVolumes/0", "want object"}},
		"an annotation that is a number": {[]string{"podAnnotations.team=7"}, []string{"/podAnnotations/team", "want string"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := make([]string, 0, 5+2*len(refused.set))
			args = append(args, "template", "x", chart, "--set", "config.upstream.url=http://zitadel")
			for _, set := range refused.set {
				args = append(args, "--set", set)
			}
			out, err := helm(t, args...)
			if err == nil {
				t.Fatalf("got\n%s\nwant an error", out)
			}
			for _, want := range refused.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got the error %v, want one with %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "secret@") {
				t.Errorf("the error %v has the password", err)
			}
		})
	}
}
