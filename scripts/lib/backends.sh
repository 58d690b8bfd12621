# Real back ends for scripts/test-backends, built once into the cache. Sourced; needs lib/common.sh.

backends=$cache/backends
jaeger_version=v1.48.0		# the last v1 that can be installed by its module path
collector_version=v0.159.0
zipkin_version=3.5.1

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

# A module's program. One package at a time: others work on this machine too.
backend_go()
{
	say "building $1@$2"
	GOBIN=$backends/bin CGO_ENABLED=0 GOFLAGS='-buildvcs=false -trimpath -p=1' \
		nice -n 10 go install -ldflags='-s -w' "$1@$2" >"$backends/log" 2>&1 || {
		tail -n 20 "$backends/log" >&2
		return 1
	}
}

backend_collector()
{
	say "building the Collector $collector_version"
	work=$(mktemp -d)
	collector_manifest >"$work/manifest.yaml"
	(
		cd "$work"
		export CGO_ENABLED=0 GOFLAGS='-buildvcs=false -trimpath -p=1'
		nice -n 10 "$backends/bin/builder" --config manifest.yaml --skip-compilation
		cd made
		nice -n 10 go build -ldflags='-s -w' -o "$backends/bin/collector" .
	) >"$backends/log" 2>&1 || {
		tail -n 20 "$backends/log" >&2
		rm -rf "$work"
		return 1
	}
	rm -rf "$work"
}

backend_zipkin()
{
	say "fetching Zipkin $zipkin_version"
	mvn -q -B dependency:copy -Dartifact=io.zipkin:zipkin-server:$zipkin_version:jar:exec \
		-DoutputDirectory="$backends/lib" >"$backends/log" 2>&1 || {
		tail -n 20 "$backends/log" >&2
		return 1
	}
}

# What cannot be had here is named, and its tests say so.
build_backends()
{
	mkdir -p "$backends/bin" "$backends/lib"
	[ -x "$backends/bin/all-in-one" ] ||
		backend_go github.com/jaegertracing/jaeger/cmd/all-in-one $jaeger_version || say "no Jaeger"
	[ -x "$backends/bin/builder" ] ||
		backend_go go.opentelemetry.io/collector/cmd/builder $collector_version || say "no builder"
	[ -x "$backends/bin/collector" ] || backend_collector || say "no Collector"
	[ -e "$backends/lib/zipkin-server-$zipkin_version-exec.jar" ] || backend_zipkin || say "no Zipkin"
}
