/* Declarative configuration: YAML and JSON, variables, what is mapped and what is named as meaningless. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "core/config.h"
#include "core/detected.h"
#include "core/views.h"
#include "preload/config_file.h"

static char path[] = "/tmp/config_file.XXXXXX";

/* returns what the library would do: be on or off */
static bool apply(const char *text, ...)
{
	static char name[64];
	char *env[] = { name, "HOST=collector.example", "EMPTY=", "RATIO=0.25", "SECRET=a b,c=d", "OTEL_SERVICE_NAME=ignored",
			"OTELAUTO_EXIT_FLUSH=7", NULL };
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
	snprintf(name, sizeof(name), "OTEL_CONFIG_FILE=%s", path);
	oa_config_read(env);
	oa_config_file_read(env);
	/* What the program does to its environment later does not matter. */
	memset(env, 0, sizeof(env));
	return oa_config_file_apply();
}

static void says(const char *text) { ck_assert_str_eq(oa_config_file_says, text); }

static const char whole[] =
	"file_format: '1.0'\n"
	"log_level: info\n"
	"attribute_limits: { attribute_value_length_limit: 4096, attribute_count_limit: 64 }\n"
	"resource:\n"
	"  attributes:\n"
	"    - { name: service.name, value: shop }\n"
	"    - { name: team, value: \"${SECRET}\", type: string }\n"
	"    - { name: nothing, value: null }\n"
	"  attributes_list: deployment.environment.name=prod\n"
	"propagator:\n"
	"  composite:\n"
	"    - tracecontext:\n"
	"    - b3:\n"
	"  composite_list: 'jaeger'\n"
	"tracer_provider:\n"
	"  limits: { event_count_limit: 3, link_count_limit: 4, attribute_count_limit: 5, link_attribute_count_limit: 6 }\n"
	"  processors:\n"
	"    - batch:\n"
	"        schedule_delay: 1000\n"
	"        export_timeout: 2000\n"
	"        max_queue_size: 300\n"
	"        max_export_batch_size: 200\n"
	"        exporter:\n"
	"          otlp_grpc:\n"
	"            endpoint: https://${HOST}:${PORT:-4317}\n"
	"            tls: { ca_file: /ca.pem, key_file: /k.pem, cert_file: /c.pem, insecure: false }\n"
	"            headers:\n"
	"              - { name: api-key, value: \"${env:SECRET}\" }\n"
	"              - { name: plain, value: \"$$x\" }\n"
	"            headers_list: more=1\n"
	"            compression: gzip\n"
	"            timeout: 1234\n"
	"    - simple: { exporter: { console: } }\n"
	"  sampler:\n"
	"    parent_based: { root: { trace_id_ratio_based: { ratio: \"${RATIO}\" } } }\n"
	"meter_provider:\n"
	"  exemplar_filter: always_off\n"
	"  readers:\n"
	"    - periodic:\n"
	"        interval: 15000\n"
	"        timeout: 5000\n"
	"        exporter:\n"
	"          otlp_http:\n"
	"            endpoint: http://m:4318/v1/metrics\n"
	"            encoding: json\n"
	"            temporality_preference: low_memory\n"
	"            default_histogram_aggregation: base2_exponential_bucket_histogram\n"
	"    - pull: { exporter: { prometheus/development: { host: 0.0.0.0, port: 9999 } } }\n"
	"instrumentation/development:\n"
	"  general: { http: { server: { request_captured_headers: [x-a, x-b] } } }\n"
	"otelauto: { series_limit: 100, spool_dir: /var/spool/x }\n";

START_TEST(everything_that_applies_is_taken)
{
	ck_assert(apply(whole));
	says("");
	ck_assert_int_eq(oa_config.log_level, 3);
	ck_assert_int_eq(oa_config.attribute_value_length_limit, 4096);
	ck_assert_int_eq(oa_config.attribute_count_limit, 64);
	ck_assert_str_eq(oa_config.resource_attributes,
			 "deployment.environment.name=prod,service.name=shop,team=a%20b%2Cc%3Dd");
	ck_assert_uint_eq(oa_config.propagators, 1u << 0 | 1u << 2 | 1u << 4);
	ck_assert_int_eq(oa_config.span_event_count_limit, 3);
	ck_assert_int_eq(oa_config.span_link_count_limit, 4);
	ck_assert_int_eq(oa_config.span_attribute_count_limit, 5);
	ck_assert_int_eq(oa_config.bsp_schedule_delay, 1000);
	ck_assert_int_eq(oa_config.bsp_export_timeout, 2000);
	ck_assert_int_eq(oa_config.bsp_max_queue_size, 300);
	ck_assert_int_eq(oa_config.bsp_max_export_batch_size, 200);
	ck_assert_uint_eq(oa_config.traces_exporter, 1u << 0 | 1u << 1);
	ck_assert_int_eq(oa_config.otlp_traces_protocol, 2);
	ck_assert_str_eq(oa_config.otlp_traces_endpoint, "https://collector.example:4317");
	ck_assert_str_eq(oa_config.otlp_traces_certificate, "/ca.pem");
	ck_assert_str_eq(oa_config.otlp_traces_client_key, "/k.pem");
	ck_assert_str_eq(oa_config.otlp_traces_client_certificate, "/c.pem");
	ck_assert(!oa_config.otlp_traces_insecure);
	ck_assert_str_eq(oa_config.otlp_traces_headers, "api-key=a%20b%2Cc%3Dd,plain=%24x,more=1");
	ck_assert_int_eq(oa_config.otlp_traces_compression, 1);
	ck_assert_int_eq(oa_config.otlp_traces_timeout, 1234);
	ck_assert_int_eq(oa_config.sampler, 5);
	ck_assert_str_eq(oa_config.sampler_arg, "0.25");
	ck_assert_int_eq(oa_config.exemplar_filter, 2);
	ck_assert_uint_eq(oa_config.metrics_exporter, 1u << 0 | 1u << 1);
	ck_assert_int_eq(oa_config.metric_interval, 15000);
	ck_assert_int_eq(oa_config.metric_timeout, 5000);
	ck_assert_str_eq(oa_config.otlp_metrics_endpoint, "http://m:4318/v1/metrics");
	ck_assert_int_eq(oa_config.otlp_metrics_protocol, 1);
	ck_assert_int_eq(oa_config.metrics_temporality, 2);
	ck_assert_int_eq(oa_config.metrics_histogram, 1);
	ck_assert_str_eq(oa_config.prometheus_host, "0.0.0.0");
	ck_assert_int_eq(oa_config.prometheus_port, 9999);
	ck_assert_str_eq(oa_config.capture_server_request_headers, "x-a,x-b");
	ck_assert_int_eq(oa_config.series_limit, 100);
	ck_assert_str_eq(oa_config.spool_dir, "/var/spool/x");
	ck_assert_int_eq(oa_config.exit_flush, 7);
	ck_assert_str_eq(oa_config.service_name, "");
}
END_TEST

static const char in_json[] =
	"{\"file_format\":\"1.0\",\"tracer_provider\":{\"processors\":[{\"batch\":{\"schedule_delay\":77,"
	"\"exporter\":{\"otlp_http\":{\"endpoint\":\"http://${HOST}/x\",\"timeout\":null}}}}],"
	"\"sampler\":{\"trace_id_ratio_based\":{\"ratio\":0.125}}},\"otelauto\":{\"evidence\":true}}";

START_TEST(json_is_taken_as_well)
{
	ck_assert(apply(in_json));
	says("");
	ck_assert_int_eq(oa_config.bsp_schedule_delay, 77);
	ck_assert_str_eq(oa_config.otlp_traces_endpoint, "http://collector.example/x");
	ck_assert_int_eq(oa_config.otlp_traces_protocol, 0);
	ck_assert_int_eq(oa_config.sampler, 2);
	ck_assert_str_eq(oa_config.sampler_arg, "0.125");
	ck_assert(oa_config.evidence_attribute);
}
END_TEST

START_TEST(what_the_file_does_not_have_is_not_there)
{
	ck_assert(apply("file_format: '1.0'\n"));
	says("");
	ck_assert_uint_eq(oa_config.traces_exporter, 1u << 31);
	ck_assert_uint_eq(oa_config.metrics_exporter, 1u << 31);
	ck_assert_uint_eq(oa_config.propagators, 1u << 31);
	ck_assert_int_eq(oa_config.sampler, 3);
}
END_TEST

START_TEST(keys_that_mean_nothing_are_named_in_one_warning)
{
	ck_assert(apply("tracer_provider:\n  processors:\n    - batch: { schedule_dealy: 1, exporter: { otlp_htpt: { a: 1 } } }\n"
			"  sampler: { mine: {} }\n"
			"colour: red\nlogger_provider: { x: 1 }\notelauto: { serious_limit: 5 }\n"));
	says("means nothing here: tracer_provider.processors[].batch.schedule_dealy, "
	     "tracer_provider.processors[].batch.exporter.otlp_htpt, tracer_provider.sampler.(this sampler), colour, "
	     "OTELAUTO_SERIOUS_LIMIT");
}
END_TEST

/* -- composite samplers -- */

static void sampler_of(const char *text)
{
	char file[4096];

	snprintf(file, sizeof(file), "tracer_provider:\n  sampler:\n    %s\n", text);
	ck_assert(apply(file));
}

START_TEST(plain_composite_samplers_are_ours)
{
	static const struct { const char *text, *arg; int sampler; } cases[] = {
		{ "composite/development: { always_on: }", "1", 0 },
		{ "composite/development: { always_off: }", "0", 1 },
		{ "composite/development: { probability: { ratio: 0.25 } }", "0.25", 2 },
		{ "composite/development: { probability: }", "1", 2 },
		{ "composite/development: { parent_threshold: { root: { always_on: } } }", "1", 3 },
		{ "composite/development: { parent_threshold: { root: { probability: { ratio: 1e-3 } } } }", "1e-3", 5 },
		{ "parent_based: { root: { composite/development: { probability: { ratio: 0.5 } } } }", "0.5", 5 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		sampler_of(cases[i].text);
		says("");
		ck_assert_int_eq(oa_config.sampler, cases[i].sampler);
		ck_assert_str_eq(oa_config.sampler_arg, cases[i].arg);
	}
}
END_TEST

START_TEST(composite_rules_become_ours)
{
	sampler_of("composite/development:\n"
		   "      rule_based:\n"
		   "        rules:\n"
		   "          - attribute_values: { key: http.route, values: [/healthz, /livez] }\n"
		   "            sampler: { always_off: }\n"
		   "          - attribute_patterns: { key: http.request.method, included: [P*] }\n"
		   "            span_kinds: [server]\n"
		   "            parent: [none, remote]\n"
		   "            sampler: { probability: { ratio: 0.5 } }\n"
		   "          - sampler: { probability: { ratio: 0.001 } }\n"
		   "          - attribute_values: { key: never, values: [asked] }\n"
		   "            sampler: { always_on: }\n");
	says("");
	ck_assert_int_eq(oa_config.sampler, 10);
	ck_assert_str_eq(oa_config.sampler_arg, "0.001");
	ck_assert_str_eq(oa_config.sampling_rules,
			 "{\"rules\":[{\"ratio\":0,\"route\":\"/healthz\"},{\"ratio\":0,\"route\":\"/livez\"},"
			 "{\"ratio\":0.5,\"attribute\":{\"span.kind\":\"server\",\"http.request.method\":\"P*\"}}],\"default\":0.001}");
}
END_TEST

START_TEST(composite_rules_that_leave_something_over_do_not_sample_it)
{
	sampler_of("composite/development: { parent_threshold: { root: { rule_based: { rules: [ { parent: [none], "
		   "span_kinds: [client], sampler: { always_on: } } ] } } } }");
	says("");
	ck_assert_int_eq(oa_config.sampler, 11);
	ck_assert_str_eq(oa_config.sampler_arg, "0");
	ck_assert_str_eq(oa_config.sampling_rules,
			 "{\"rules\":[{\"ratio\":1,\"attribute\":{\"span.kind\":\"client\"}}],\"default\":0}");
	sampler_of("composite/development: { rule_based: }");
	ck_assert_str_eq(oa_config.sampling_rules, "{\"rules\":[],\"default\":0}");
}
END_TEST

START_TEST(composite_samplers_that_would_decide_otherwise_here_are_not_taken)
{
	static const struct { const char *rule, *named; } cases[] = {
		{ "attribute_patterns: { key: a, excluded: [b] }, sampler: { always_on: }", "attribute_patterns" },
		{ "attribute_values: { key: a, values: ['b*'] }, sampler: { always_on: }", "attribute_values" },
		{ "attribute_values: { key: a, values: [b] }, attribute_patterns: { key: a, included: [c] }, sampler: { always_on: }", "rules" },
		{ "parent: [none], sampler: { always_on: }", "parent" },
		{ "parent: [local], sampler: { always_on: }", "parent" },
		{ "colour: red, sampler: { always_on: }", "rules" },
		{ "sampler: { parent_threshold: { root: { always_on: } } }", "rule's sampler" },
		{ "sampler: { probability: { ratio: 2 } }", "rule's sampler" },
		{ "span_kinds: [server]", "rule's sampler" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[512], wanted[256];

		snprintf(text, sizeof(text), "composite/development: { rule_based: { rules: [ { %s } ] } }", cases[i].rule);
		sampler_of(text);
		snprintf(wanted, sizeof(wanted), "means nothing here: tracer_provider.sampler.composite/development.%s", cases[i].named);
		says(wanted);
		ck_assert_int_eq(oa_config.sampler, 3);
		ck_assert_str_eq(oa_config.sampling_rules, "");
	}
	sampler_of("composite/development: { always_on: , always_off: }");
	says("means nothing here: tracer_provider.sampler.composite/development.(this sampler)");
	sampler_of("composite/development: {}");
	says("means nothing here: tracer_provider.sampler.composite/development.(this sampler)");
}
END_TEST

START_TEST(it_can_switch_off)
{
	ck_assert(!apply("disabled: true\n"));
	ck_assert(!apply("disabled: ${OFF:-true}\n"));
	ck_assert(apply("disabled: ${EMPTY:-false}\n"));
}
END_TEST

START_TEST(a_file_that_cannot_be_used_sends_nothing)
{
	static const struct { const char *text, *why; } cases[] = {
		{ "a: [1, 2\n", "it is no YAML" }, { "{\"a\": 1", "it is no JSON" }, { "- a\n", "it is no object" },
		{ "a: &x 1\nb: *x\n", "it has an alias" }, { "a: 1\na: 2\n", "it has a key twice" },
		{ "a: ${\n", "it has a reference to a variable that is malformed" },
		{ "a: ${1X}\n", "it has a reference to a variable that is malformed" },
		{ "{\"a\": \"${A-b}\"}", "it has a reference to a variable that is malformed" },
		{ "? [a]\n: 1\n", "it has a key that is no text" }, { "", "the file cannot be read" },
		{ "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", "it is nested too deeply" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char wanted[256];

		ck_assert(apply(cases[i].text));
		snprintf(wanted, sizeof(wanted), "%s: no traces are sent and no metrics are shown", cases[i].why);
		says(wanted);
		ck_assert_uint_eq(oa_config.traces_exporter, 1u << 31);
		ck_assert_uint_eq(oa_config.metrics_exporter, 1u << 31);
	}
}
END_TEST

START_TEST(a_file_that_is_too_large_is_not_read)
{
	static char text[70000];

	memset(text, '#', sizeof(text) - 1);
	ck_assert(apply(text));
	says("the file is larger than 64 KiB: no traces are sent and no metrics are shown");
}
END_TEST

START_TEST(wrong_values_keep_the_default)
{
	ck_assert(apply("tracer_provider: { processors: [ { batch: { schedule_delay: soon, max_queue_size: -1 } } ] }\n"));
	ck_assert_int_eq(oa_config.bsp_schedule_delay, 5000);
	ck_assert_int_eq(oa_config.bsp_max_queue_size, 2048);
}
END_TEST

START_TEST(files_go_where_the_url_says)
{
	ck_assert(apply("tracer_provider: { processors: [ { simple: { exporter: { otlp_file/development: { output_stream: "
			"file:///var/log/t.jsonl } } } } ] }\n"));
	says("");
	ck_assert_uint_eq(oa_config.traces_exporter, 1u << 4);
	ck_assert_str_eq(oa_config.file_path, "/var/log/t.jsonl");
}
END_TEST

START_TEST(the_service_detector_asks_the_environment)
{
	static const char *const files[] = {
		"resource: { attributes_list: 'a=b', detection/development: { detectors: [ { service: }, { host: } ] } }\n",
		"resource: { detection/development: { detectors: [ { service: } ] }, attributes_list: 'service.name=list' }\n",
		"resource: { attributes_list: 'a=b' }\n",
	};
	static const char *const attributes[] = { "service.name=ignored,a=b", "service.name=ignored,service.name=list", "a=b" };

	ck_assert(apply(files[_i]));
	says("");
	ck_assert_str_eq(oa_config.service_name, "");
	ck_assert_str_eq(oa_config.resource_attributes, attributes[_i]);
}
END_TEST

static const char detectors[] =
	"resource: { detection/development: { detectors: [ { host: }, { process: {} } ], attributes: { included: "
	"[ 'host.*', 'process.*' ], excluded: [ process.command, '*.id' ] } } }\n";

START_TEST(detectors_are_those_of_the_file)
{
	ck_assert(apply(detectors));
	says("");
	ck_assert_uint_eq(oa_config.resource_detectors, 1u << 0 | 1u << 1);
	ck_assert(oa_detected_is_wanted("host.name") && oa_detected_is_wanted("process.pid"));
	ck_assert(!oa_detected_is_wanted("process.command") && !oa_detected_is_wanted("host.id"));
	ck_assert(!oa_detected_is_wanted("container.id") && !oa_detected_is_wanted("k8s.pod.name"));
}
END_TEST

START_TEST(without_detectors_nothing_is_found_out)
{
	ck_assert(apply("resource: { attributes_list: 'a=b' }\n"));
	ck_assert(!oa_detected_is_wanted("host.name") && !oa_detected_is_wanted("process.pid") && !oa_detected_is_wanted("os.type"));
	ck_assert(oa_detected_is_wanted("k8s.pod.name"));
}
END_TEST

START_TEST(a_sampler_that_records_all_samples_as_its_root)
{
	ck_assert(apply("tracer_provider: { sampler: { always_record: { root: { parent_based: { root: { trace_id_ratio_based: { ratio: 0.5 } } } } } } }\n"));
	says("");
	ck_assert_int_eq(oa_config.sampler, 5);
	ck_assert_str_eq(oa_config.sampler_arg, "0.5");
}
END_TEST

START_TEST(what_is_named_is_named_once)
{
	ck_assert(apply("resource: { attributes: [ { name: a, value: [ 1 ] }, { name: b, value: [ 2 ] } ], x: y }\n"));
	says("means nothing here: resource.attributes[], resource.x");
}
END_TEST

static const char done_anyway[] =
	"tracer_provider:\n"
	"  limits: { attribute_value_depth_limit: 64 }\n"
	"  sampler:\n"
	"    parent_based:\n"
	"      root: { always_on: }\n"
	"      remote_parent_sampled: { always_on: }\n"
	"      remote_parent_not_sampled: { always_off: {} }\n"
	"      local_parent_not_sampled:\n"
	"distribution: { other: { x: y } }\n"
	"instrumentation/development:\n"
	"  java: { x: { y: z } }\n"
	"  general: { stability_opt_in_list: 'http,database', http: { client: { known_methods: [GET, PURGE] } } }\n"
	"otelauto: { keep: none }\n";

START_TEST(what_is_done_anyway_is_no_trouble)
{
	ck_assert(apply(done_anyway));
	says("");
	ck_assert_str_eq(oa_config.known_methods, "GET,PURGE");
	ck_assert_int_eq(oa_config.sampler, 3);
}
END_TEST

START_TEST(what_would_be_done_otherwise_is_named)
{
	ck_assert(apply("tracer_provider:\n"
			"  sampler: { parent_based: { remote_parent_sampled: { always_off: }, local_parent_not_sampled: { trace_id_ratio_based: } } }\n"
			"instrumentation/development: { general: { stability_opt_in_list: 'http/dup', db: { semconv: { dual_emit: true } } } }\n"
			"resource: { detection/development: { detectors: [ { cloud: } ] } }\n"));
	says("means nothing here: tracer_provider.sampler.parent_based.remote_parent_sampled, "
	     "tracer_provider.sampler.parent_based.local_parent_not_sampled, instrumentation/development.general.stability_opt_in_list, "
	     "instrumentation/development.general.db.semconv.dual_emit, resource.detection/development.detectors[].cloud");
}
END_TEST

static const struct oa_stream *stream_called(const char *name)
{
	for (unsigned i = 0; i < oa_streams_count; i++)
		if (!strcmp(oa_streams[i].name, name) && oa_streams[i].kind != OA_STREAM_DROPPED)
			return &oa_streams[i];
	ck_abort_msg("there is no %s", name);
	return NULL;
}

static const char views[] =
	"meter_provider:\n"
	"  readers:\n"
	"    - pull: { cardinality_limits: { default: 50, histogram: 40 }, exporter: { prometheus/development: } }\n"
	"  views:\n"
	"    - selector: { instrument_name: http.server.request.duration, instrument_type: histogram, unit: s, meter_name: otelauto }\n"
	"      stream:\n"
	"        name: mine\n"
	"        description: what I want\n"
	"        aggregation: { explicit_bucket_histogram: { boundaries: [ 0, 0.5, 1.5e1 ], record_min_max: false } }\n"
	"        aggregation_cardinality_limit: 7\n"
	"        attribute_keys: { included: [ 'http.*', url.scheme ], excluded: [ http.route ] }\n"
	"    - { selector: { instrument_name: '*.size' }, stream: { aggregation: { drop: } } }\n"
	"    - { selector: { meter_name: another }, stream: { aggregation: { drop: } } }\n"
	"    - { selector: { instrument_name: 'rpc.server*' }, stream: { aggregation: { base2_exponential_bucket_histogram: { max_scale: -2, max_size: 20 } } } }\n"
	"    - { selector: { instrument_name: my_instrument }, stream: { name: whatever } }\n";

START_TEST(views_make_streams)
{
	const struct oa_stream *s;

	ck_assert(apply(views));
	says("");
	s = stream_called("mine");
	ck_assert_str_eq(s->help, "what I want");
	ck_assert_uint_eq(s->bounds_count, 3);
	ck_assert_uint_eq(s->limits[0], 0);
	ck_assert_uint_eq(s->limits[1], 500000000);
	ck_assert_uint_eq(s->limits[2], 15000000000);
	ck_assert_uint_eq(s->series_max, 7);
	ck_assert_uint_eq(s->labels_dropped, ~(1u << OA_LABEL_method | 1u << OA_LABEL_status | 1u << OA_LABEL_scheme | 1u << OA_LABEL_overflow) &
						     ((1u << OA_LABEL_COUNT) - 1));
	ck_assert_int_eq(oa_streams[OA_INS_http_server_req_body].kind, OA_STREAM_DROPPED);
	ck_assert_int_eq(oa_streams[OA_INS_http_client_duration].kind, OA_STREAM_HISTOGRAM);
	ck_assert_uint_eq(oa_streams[OA_INS_http_client_duration].series_max, 40);
	ck_assert_uint_eq(oa_streams[OA_INS_messaging_sent].series_max, 50);
	s = stream_called("rpc.server.call.duration");
	ck_assert_int_eq(s->kind, OA_STREAM_EXPONENTIAL);
	ck_assert_uint_eq(s->exp_coarser, 5);
	ck_assert_uint_eq(s->exp_size, 20);
}
END_TEST

START_TEST(views_are_taken_from_json)
{
	ck_assert(apply("{\"meter_provider\": {\"views\": [{\"selector\": {\"instrument_name\": \"dns.lookup.duration\"}, \"stream\":"
			"{\"aggregation\": {\"explicit_bucket_histogram\": {\"boundaries\": [0.25, 2]}}}}]}}"));
	says("");
	ck_assert_uint_eq(stream_called("dns.lookup.duration")->limits[0], 250000000);
}
END_TEST

START_TEST(a_description_that_is_no_utf8_is_not_taken)
{
	ck_assert(apply("{\"meter_provider\": {\"views\": [{\"selector\": {\"instrument_name\": \"dns.lookup.duration\"}, \"stream\":"
			"{\"description\": \"\xff\"}}]}}"));
	says("means nothing here: meter_provider.views[0].stream.description");
	ck_assert_str_eq(stream_called("dns.lookup.duration")->help, "Duration of name lookups.");
}
END_TEST

static const char views_with_mistakes[] =
	"meter_provider:\n"
	"  views:\n"
	"    - { selector: { instrument_name: http.server.request.duration }, stream: { aggregation: { last_value: } } }\n"
	"    - { selector: { instrument_name: http.client.*, colour: red }, stream: { aggregation: { drop: } } }\n"
	"    - { selector: { instrument_name: rpc.* }, stream: { name: one, aggregation: { explicit_bucket_histogram: { boundaries: [ 2, 1 ], record_min_max: true } } } }\n"
	"    - { selector: { instrument_type: thing }, stream: { aggregation: { drop: } } }\n";

START_TEST(what_of_a_view_means_nothing_is_named)
{
	ck_assert(apply(views_with_mistakes));
	says("means nothing here: meter_provider.views[0].stream.aggregation, meter_provider.views[1].selector.colour, "
	     "meter_provider.views[2].stream.aggregation.explicit_bucket_histogram.record_min_max, meter_provider.views[2].stream.name, "
	     "meter_provider.views[2].stream.aggregation.(boundaries), meter_provider.views[3].selector.instrument_type");
	ck_assert_int_eq(oa_streams[OA_INS_http_client_duration].kind, OA_STREAM_HISTOGRAM);
	ck_assert_uint_eq(oa_streams[OA_INS_rpc_client_duration].bounds_count, 14);
}
END_TEST

/* -- wrong shapes -- */

static const char composite_of_parent[] =
	"tracer_provider: { sampler: { parent_based: { root: { composite/development: { parent_threshold: { root: { rule_based: { rules: [\n"
	"  { attribute_values: { key: http.route, values: [ /a ] }, attribute_patterns: { key: b, included: [ c* ] }, span_kinds: [ server ],\n"
	"    parent: [ none, remote ], sampler: { probability: { ratio: 0.5 } } } ] } } } } } } } }\n";
static const char remote[] =
	"tracer_provider: { sampler: { always_record: { root: { jaeger_remote/development: { endpoint: 'http://j', interval: 1,\n"
	"  initial_sampler: { trace_id_ratio_based: { ratio: 0.5 } } } } } } }\n";
static const char exponential[] =
	"meter_provider: { views: [ { stream: { aggregation: { base2_exponential_bucket_histogram: { max_scale: 1, max_size: 9,\n"
	"  record_min_max: false } } } } ] }\n";

static const char *const examples[] = { whole, in_json, done_anyway, detectors, views, views_with_mistakes, composite_of_parent, remote,
					exponential };
static const char *const shapes[] = { "null", "true", "1", "\"x\"", "[]", "[\"x\"]", "[1]", "{}", "{\"x\":1}", "[[1]]", "[{\"x\":[1]}]" };

static cJSON *example_tree(const char *text)
{
	const char *wrong;

	(void)apply(text); /* notes its variables */
	return text[0] == '{' ? cJSON_Parse(text) : oa_config_yaml(oa_bytes_str(text), &wrong);
}

static cJSON *node_of_number(cJSON *node, unsigned *left)
{
	for (; node; node = node->next) {
		cJSON *found = (*left)-- ? node_of_number(node->child, left) : node;

		if (found)
			return found;
	}
	return NULL;
}

START_TEST(what_the_one_warning_has_no_room_for_is_counted)
{
	char text[4096] = "{\"file_format\": \"1.0\"", *at = text + strlen(text);
	unsigned named = 1, more = 0;

	for (int i = 0; i < 60; i++)
		at += sprintf(at, ", \"a_key_that_means_nothing_%02d\": 1", i);
	strcpy(at, "}");
	ck_assert(apply(text));
	for (at = oa_config_file_says; (at = strstr(at, ", a_key")); at++)
		named++;
	at = strstr(oa_config_file_says, ", and more (");
	ck_assert_ptr_nonnull(at);
	ck_assert_int_eq(sscanf(at, ", and more (%u times)", &more), 1);
	ck_assert_uint_eq(named + more, 60);
}
END_TEST

static void nothing_is_said_twice(void)
{
	char said[OA_CONFIG_FILE_SAYS_MAX], *items[OA_CONFIG_FILE_SAYS_MAX], *at = strstr(oa_config_file_says, ": ");
	unsigned count = 0;

	if (!at)
		return;
	strcpy(said, at + 2);
	for (at = said; (items[count] = strsep(&at, ",")); count++)
		for (unsigned i = 0; i < count; i++)
			ck_assert_str_ne(items[count] + (count != 0), items[i] + (i != 0));
}

/* Any node may be anything. */
START_TEST(no_shape_is_the_end_of_the_program)
{
	cJSON *top = example_tree(examples[_i]), *node;
	unsigned nodes = 0;

	ck_assert_ptr_nonnull(top);
	for (; (node = node_of_number(top, &(unsigned){ nodes })); nodes++) {
		cJSON was = *node;

		for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
			char *text;

			node->type = cJSON_Raw;
			node->valuestring = (char *)shapes[i];
			text = cJSON_PrintUnformatted(top);
			*node = was;
			oa_views_forget();
			(void)apply(text);
			nothing_is_said_twice();
			cJSON_free(text);
		}
	}
	ck_assert_uint_ge(nodes, 10);
	cJSON_Delete(top);
}
END_TEST

#define VIEW(selector, stream)  "meter_provider: { views: [ { selector: " selector ", stream: " stream " } ] }\n"
#define DNS                     "{ instrument_name: dns.lookup.duration }"
#define VIEW_0                  "meter_provider.views[0]"
#define SAMPLER                 "tracer_provider.sampler."

static const struct { const char *text, *named; } wrong_shapes[] = {
	{ "meter_provider: { views: { a: b } }\n", "meter_provider.views" },
	{ "meter_provider: { views: x }\n", "meter_provider.views" },
	{ "meter_provider: { views: [ [ 1 ], x ] }\n", VIEW_0 ", meter_provider.views[1]" },
	{ VIEW("[ instrument_name ]", "{ aggregation: { drop: } }"), VIEW_0 ".selector" },
	{ VIEW("{ instrument_name: [ a ] }", "{ aggregation: { drop: } }"), VIEW_0 ".selector.instrument_name" },
	{ VIEW("{ instrument_type: {} }", "{ aggregation: { drop: } }"), VIEW_0 ".selector.instrument_type" },
	{ VIEW(DNS, "[ x ]"), VIEW_0 ".stream" },
	{ VIEW(DNS, "{ name: [ x ], description: {} }"), VIEW_0 ".stream.name, " VIEW_0 ".stream.description" },
	{ VIEW(DNS, "{ aggregation: [ drop ] }"), VIEW_0 ".stream.aggregation" },
	{ VIEW(DNS, "{ aggregation: drop }"), VIEW_0 ".stream.aggregation" },
	{ VIEW(DNS, "{ aggregation: {} }"), VIEW_0 ".stream.aggregation" },
	{ VIEW(DNS, "{ aggregation: { explicit_bucket_histogram: [ 1 ] } }"), VIEW_0 ".stream.aggregation.explicit_bucket_histogram" },
	{ VIEW(DNS, "{ aggregation: { explicit_bucket_histogram: { boundaries: 5 } } }"), VIEW_0 ".stream.aggregation.(boundaries)" },
	{ VIEW(DNS, "{ aggregation: { explicit_bucket_histogram: { boundaries: { a: 1 } } } }"), VIEW_0 ".stream.aggregation.(boundaries)" },
	{ VIEW(DNS, "{ aggregation: { explicit_bucket_histogram: { boundaries: [ [ 1 ] ] } } }"), VIEW_0 ".stream.aggregation.(boundaries)" },
	{ VIEW(DNS, "{ attribute_keys: [ http.route, url.scheme ] }"), VIEW_0 ".stream.attribute_keys" },
	{ VIEW(DNS, "{ attribute_keys: { included: x, excluded: { a: error.type } } }"),
	  VIEW_0 ".stream.attribute_keys.included, " VIEW_0 ".stream.attribute_keys.excluded" },
	{ VIEW(DNS, "{ attribute_keys: { included: [ [ error.type ] ] } }"), VIEW_0 ".stream.attribute_keys.included" },
	{ VIEW(DNS, "{ aggregation_cardinality_limit: [ 5 ] }"), VIEW_0 ".stream.aggregation_cardinality_limit" },
	{ "meter_provider: { readers: [ { pull: { cardinality_limits: [ 5 ] } } ] }\n", "meter_provider.readers[].pull.cardinality_limits" },
	{ "meter_provider: { readers: { pull: x } }\n", "meter_provider.readers" },
	{ "tracer_provider: { sampler: [ x ] }\n", SAMPLER "(this sampler)" },
	{ "tracer_provider: { sampler: always_off }\n", SAMPLER "(this sampler)" },
	{ "tracer_provider: { sampler: { always_off: [ x ] } }\n", SAMPLER "(this sampler)" },
	{ "tracer_provider: { sampler: { parent_based: [ x ] } }\n", SAMPLER "(this sampler)" },
	{ "tracer_provider: { sampler: { parent_based: { root: [ always_off ] } } }\n", SAMPLER "(this sampler)" },
	{ "tracer_provider: { sampler: { parent_based: { remote_parent_sampled: [ always_on ], local_parent_sampled: x } } }\n",
	  SAMPLER "parent_based.remote_parent_sampled, " SAMPLER "parent_based.local_parent_sampled" },
	{ "tracer_provider: { sampler: { trace_id_ratio_based: 0.5 } }\n", SAMPLER "(this sampler)" },
	{ "tracer_provider: { sampler: { trace_id_ratio_based: { ratio: [ 0.5 ] } } }\n", SAMPLER "(this sampler).ratio" },
	{ "tracer_provider: { sampler: { composite/development: [ always_off ] } }\n", SAMPLER "(this sampler)" },
	{ "tracer_provider: { sampler: { composite/development: { probability: 0.5 } } }\n", SAMPLER "composite/development.(this sampler)" },
	{ "tracer_provider: { sampler: { composite/development: { rule_based: [ x ] } } }\n", SAMPLER "composite/development.(this sampler)" },
	{ "tracer_provider: { sampler: { composite/development: { rule_based: { rules: x } } } }\n", SAMPLER "composite/development.rules" },
	{ "tracer_provider: { sampler: { composite/development: { rule_based: { rules: [ [ x ] ] } } } }\n", SAMPLER "composite/development.rules" },
	{ "tracer_provider: { sampler: { composite/development: { rule_based: { rules: [ { span_kinds: [ [ server ] ], sampler: { always_on: } } ] } } } }\n",
	  SAMPLER "composite/development.span_kinds" },
	{ "tracer_provider: { sampler: { composite/development: { parent_threshold: { root: [ x ] } } } }\n", SAMPLER "composite/development.(this sampler)" },
	{ "otelauto: [ series_limit ]\n", "otelauto" },
	{ "otelauto: { series_limit: [ 5 ] }\n", "OTELAUTO_SERIES_LIMIT" },
	{ "disabled: [ true ]\n", "disabled" },
	{ "tracer_provider: x\n", "tracer_provider" },
	{ "tracer_provider: [ x ]\n", "tracer_provider" },
	{ "tracer_provider: { processors: [ { batch: { schedule_delay: [ 1 ] } } ] }\n", "tracer_provider.processors[].batch.schedule_delay" },
	{ "tracer_provider: { processors: [ { simple: { exporter: { console: [ x ] } } } ] }\n", "tracer_provider.processors[].simple.exporter.console" },
	{ "propagator: { composite: [ [ b3 ] ] }\n", "propagator.composite[]" },
	{ "resource: { attributes: [ x, [ y ] ] }\n", "resource.attributes[]" },
	{ "resource: { detection/development: { detectors: [ { service: [ x ] } ] } }\n", "resource.detection/development.detectors[].service" },
};

START_TEST(a_wrong_shape_is_named_once_and_the_default_stays)
{
	char wanted[512];

	oa_views_forget();
	ck_assert(apply(wrong_shapes[_i].text));
	snprintf(wanted, sizeof(wanted), "means nothing here: %s", wrong_shapes[_i].named);
	says(wanted);
	ck_assert_int_eq(oa_config.sampler, 3);
	ck_assert_str_eq(oa_config.sampler_arg, "");
	ck_assert_uint_eq(oa_config.traces_exporter, 1u << 31);
	ck_assert_uint_eq(oa_config.propagators, 1u << 31);
	ck_assert_int_eq(oa_config.bsp_schedule_delay, 5000);
	ck_assert_int_eq(oa_config.series_limit, 2000);
	for (unsigned i = 0; i < oa_streams_count; i++) {
		ck_assert_int_eq(oa_streams[i].kind, oa_streams[i].bounds_count ? OA_STREAM_HISTOGRAM : OA_STREAM_SUM);
		ck_assert_uint_eq(oa_streams[i].labels_dropped, 0);
		ck_assert_uint_eq(oa_streams[i].series_max, 0);
	}
	ck_assert_uint_eq(oa_streams[OA_INS_dns_lookup].bounds_count, 14);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("config_file");
	TCase *t = tcase_create("preload");
	SRunner *runner;
	int failed, fd = mkstemp(path);

	close(fd);
	tcase_add_test(t, everything_that_applies_is_taken);
	tcase_add_test(t, json_is_taken_as_well);
	tcase_add_test(t, what_the_file_does_not_have_is_not_there);
	tcase_add_test(t, keys_that_mean_nothing_are_named_in_one_warning);
	tcase_add_test(t, plain_composite_samplers_are_ours);
	tcase_add_test(t, composite_rules_become_ours);
	tcase_add_test(t, composite_rules_that_leave_something_over_do_not_sample_it);
	tcase_add_test(t, composite_samplers_that_would_decide_otherwise_here_are_not_taken);
	tcase_add_test(t, it_can_switch_off);
	tcase_add_test(t, a_file_that_cannot_be_used_sends_nothing);
	tcase_add_test(t, a_file_that_is_too_large_is_not_read);
	tcase_add_test(t, wrong_values_keep_the_default);
	tcase_add_test(t, files_go_where_the_url_says);
	tcase_add_loop_test(t, the_service_detector_asks_the_environment, 0, 3);
	tcase_add_test(t, detectors_are_those_of_the_file);
	tcase_add_test(t, without_detectors_nothing_is_found_out);
	tcase_add_test(t, a_sampler_that_records_all_samples_as_its_root);
	tcase_add_test(t, what_is_named_is_named_once);
	tcase_add_test(t, what_is_done_anyway_is_no_trouble);
	tcase_add_test(t, what_would_be_done_otherwise_is_named);
	tcase_add_test(t, views_make_streams);
	tcase_add_test(t, views_are_taken_from_json);
	tcase_add_test(t, a_description_that_is_no_utf8_is_not_taken);
	tcase_add_test(t, what_of_a_view_means_nothing_is_named);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, what_the_one_warning_has_no_room_for_is_counted);
	tcase_add_loop_test(t, no_shape_is_the_end_of_the_program, 0,
			     sizeof(examples) / sizeof(examples[0]));
	tcase_add_loop_test(t, a_wrong_shape_is_named_once_and_the_default_stays, 0,
			     sizeof(wrong_shapes) / sizeof(wrong_shapes[0]));
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	unlink(path);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
