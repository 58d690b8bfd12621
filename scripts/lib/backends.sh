# Real back ends for scripts/test-backends, built once into the cache. Sourced; needs lib/common.sh.

backends=$cache/backends
jaeger_version=v1.48.0		# the last v1 that can be installed by its module path
collector_version=v0.159.0
zipkin_version=3.5.1
prometheus_version=v0.316.0	# 3.16.0 by its module path: no replace line, unlike those before v0.308
backend_seconds=1200		# a registry that does not answer must not stop everything

collector_manifest()
{
	cat <<-END
	dist:
	  module: otelauto.test/collector
	  name: collector
	  version: ${collector_version#v}
	  output_path: ./made
	receivers:
	  - gomod: go.opentelemetry.io/collector/receiver/otlpreceiver $collector_version
	exporters:
	  - gomod: go.opentelemetry.io/collector/exporter/otlpexporter $collector_version
	  - gomod: go.opentelemetry.io/collector/exporter/debugexporter $collector_version
	  - gomod: github.com/open-telemetry/opentelemetry-collector-contrib/exporter/fileexporter $collector_version
	providers:
	  - gomod: go.opentelemetry.io/collector/confmap/provider/envprovider v1.65.0
	  - gomod: go.opentelemetry.io/collector/confmap/provider/fileprovider v1.65.0
	  - gomod: go.opentelemetry.io/collector/confmap/provider/yamlprovider v1.65.0
	END
}

# Runs what fetches and builds; its last words when it fails, most of all a registry's refusal.
backend_try()
{
	code=0
	timeout --kill-after=10 $backend_seconds nice -n 10 "$@" </dev/null >"$backends/log" 2>&1 || code=$?
	[ $code = 0 ] && return
	tail -n 5 "$backends/log" >&2
	[ $code != 124 ] || say "not within $backend_seconds s"
	return 1
}

backend_needs()
{
	command -v "$1" >/dev/null && return
	say "$1 is not installed"
	return 1
}

# A module's program.  backend_go PATH VERSION [BUILD-TAGS]
backend_go()
{
	backend_needs go || return
	say "building $1@$2"
	backend_try env GOBIN="$backends/bin" CGO_ENABLED=0 GOFLAGS='-buildvcs=false -trimpath' \
		go install -tags="${3:-}" -ldflags='-s -w' "$1@$2"
}

backend_collector()
{
	[ -x "$backends/bin/builder" ] || return
	say "building the Collector $collector_version"
	work=$(mktemp -d)
	collector_manifest >"$work/manifest.yaml"
	built=0
	backend_try env CGO_ENABLED=0 GOFLAGS='-buildvcs=false -trimpath' sh -c "cd '$work' &&
		'$backends/bin/builder' --config manifest.yaml --skip-compilation &&
		cd made && go build -ldflags='-s -w' -o '$backends/bin/collector' ." || built=1
	rm -rf "$work"
	return $built
}

backend_zipkin()
{
	backend_needs mvn || return
	say "fetching Zipkin $zipkin_version"
	backend_try mvn -q -B dependency:copy -Dartifact=io.zipkin:zipkin-server:$zipkin_version:jar:exec \
		-DoutputDirectory="$backends/lib"
}

# What cannot be had here is named, and its tests say so.
build_backends()
{
	mkdir -p "$backends/bin" "$backends/lib"
	[ -x "$backends/bin/all-in-one" ] ||
		backend_go github.com/jaegertracing/jaeger/cmd/all-in-one $jaeger_version || say "no Jaeger: its tests are skipped"
	[ -x "$backends/bin/builder" ] ||
		backend_go go.opentelemetry.io/collector/cmd/builder $collector_version || say "no builder for the Collector"
	[ -x "$backends/bin/collector" ] || backend_collector || say "no Collector: its tests are skipped"
	[ -e "$backends/lib/zipkin-server-$zipkin_version-exec.jar" ] || backend_zipkin || say "no Zipkin: its tests are skipped"
	# Without the clouds it could look for targets in, which are most of it; without the assets of its pages.
	[ -x "$backends/bin/prometheus" ] ||
		backend_go github.com/prometheus/prometheus/cmd/prometheus $prometheus_version remove_all_sd ||
		say "no Prometheus 3: its tests are skipped"
}

backend_any()
{
	[ -x "$backends/bin/all-in-one" ] || [ -x "$backends/bin/collector" ] || [ -x "$backends/bin/prometheus" ] ||
		[ -e "$backends/lib/zipkin-server-$zipkin_version-exec.jar" ]
}
