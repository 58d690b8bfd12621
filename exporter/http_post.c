#define OA_LOG_DOMAIN "export"
#include "exporter/http_post.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include <curl/curl.h>
#include <event2/event.h>

#include "core/clock.h"
#include "core/id.h"
#include "core/log.h"
#include "core/stats.h"
#include "exporter/exporter.h"
#include "exporter/grpc.h"
#include "exporter/loop.h"
#include "exporter/pem.h"
#include "exporter/post_answer.h"
#include "exporter/retry.h"
#include "exporter/tls_address.h"

struct oa_post {
	const char *what, *user_agent;
	struct oa_endpoint to;
	uint64_t timeout_ms;
	bool grpc, once, get, aside;
	struct curl_slist *headers, *gzip_headers;
	struct oa_pem ca, cert, key;
	struct oa_tls_address address;
	struct oa_curl_transfer transfer; /* easy: NULL before the first request and when it had to be left behind */
	struct event *timer;              /* until the next attempt */
	uint64_t next_ns;                 /* when that is, 0 while there is one */
	bool running;                     /* a request is under way, or waits for its next attempt */
	uint64_t out;                     /* of oa_wire_set() */
	bool gzip;
	struct oa_bytes body;
	uint8_t prefix[OA_GRPC_PREFIX];
	size_t sent;                      /* of prefix and body; gRPC only */
	uint64_t deadline_ns;
	unsigned attempt;                 /* repetitions so far */
	oa_post_done_fn *done;
	void *arg;
	struct oa_answer answer;
};

static void post_attempt(struct oa_post *p);

/* -- what curl calls -- */

static size_t post_on_body(char *data, size_t one, size_t len, void *arg)
{
	struct oa_post *p = arg;

	(void)one; /* 1, always */
	return oa_answer_add(&p->answer, data, len) ? len : 0; /* 0 ends the transfer with CURLE_WRITE_ERROR */
}

static size_t post_on_header(char *line, size_t one, size_t len, void *arg)
{
	struct oa_post *p = arg;

	(void)one;
	oa_answer_line(&p->answer, line, len);
	return len;
}

/* The next bytes of prefix and body. */
static size_t post_on_read(char *to, size_t one, size_t room, void *arg)
{
	struct oa_post *p = arg;
	size_t done = 0;

	(void)one;
	if (p->sent < OA_GRPC_PREFIX) {
		done = OA_GRPC_PREFIX - p->sent;
		done = done < room ? done : room;
		memcpy(to, p->prefix + p->sent, done);
		p->sent += done;
	}
	if (p->sent >= OA_GRPC_PREFIX && done < room) {
		size_t at = p->sent - OA_GRPC_PREFIX, more = p->body.len - at;

		more = more < room - done ? more : room - done;
		memcpy(to + done, p->body.ptr + at, more);
		p->sent += more;
		done += more;
	}
	return done;
}

/* curl begins again on another connection. */
static int post_on_seek(void *arg, curl_off_t offset, int origin)
{
	struct oa_post *p = arg;

	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > OA_GRPC_PREFIX + p->body.len)
		return CURL_SEEKFUNC_CANTSEEK;
	p->sent = (size_t)offset;
	return CURL_SEEKFUNC_OK;
}

/* -- curl -- */

static CURLcode post_set_blob(CURL *easy, CURLoption option, const struct oa_pem *pem, bool with_end)
{
	struct curl_blob blob = { pem->text, pem->len + with_end, CURL_BLOB_NOCOPY };

	return pem->text ? curl_easy_setopt(easy, option, &blob) : CURLE_OK;
}

/* Everything that matters to safety must be accepted by this curl. */
static CURLcode post_set_tls(CURL *easy, const struct oa_post *p)
{
	CURLcode err = curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, p->to.https ? "https" : "http");

	if (!err)
		err = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	if (!err)
		err = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	if (!err)
		err = (CURLcode)oa_tls_address_set(easy, &p->address);
	if (!err)
		err = post_set_blob(easy, CURLOPT_CAINFO_BLOB, &p->ca, false);
	if (!err)
		err = post_set_blob(easy, CURLOPT_SSLCERT_BLOB, &p->cert, false);
	if (!err) /* mbedTLS wants the NUL of a PEM text counted here */
		err = post_set_blob(easy, CURLOPT_SSLKEY_BLOB, &p->key, true);
	return err;
}

static CURLcode post_set_unix(CURL *easy, const struct oa_post *p)
{
	if (!p->to.unix_path[0])
		return CURLE_OK;
	if (p->to.unix_path[0] == '@')
		return curl_easy_setopt(easy, CURLOPT_ABSTRACT_UNIX_SOCKET, p->to.unix_path + 1);
	return curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, p->to.unix_path);
}

/* There is a connection, and the request goes out next. */
static int post_on_connected(void *arg, char *peer, char *local, int peer_port, int local_port)
{
	struct oa_post *p = arg;

	(void)peer, (void)local, (void)peer_port, (void)local_port;
	if (!p->aside)
		oa_wire_set(&p->out, true);
	return CURL_PREREQFUNC_OK;
}

static long post_http_version(const struct oa_post *p)
{
	if (!p->grpc)
		return CURL_HTTP_VERSION_1_1;
	return p->to.https ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;
}

static void post_set_transfer(CURL *easy, struct oa_post *p)
{
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	(void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, post_http_version(p));
	(void)curl_easy_setopt(easy, CURLOPT_USERAGENT, p->user_agent);
	(void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)OA_POST_CONNECT_MS);
	(void)curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_POST, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, post_on_connected);
	(void)curl_easy_setopt(easy, CURLOPT_PREREQDATA, p);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, post_on_body);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, p);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, post_on_header);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, p);
	(void)curl_easy_setopt(easy, CURLOPT_READFUNCTION, post_on_read);
	(void)curl_easy_setopt(easy, CURLOPT_READDATA, p);
	(void)curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, post_on_seek);
	(void)curl_easy_setopt(easy, CURLOPT_SEEKDATA, p);
	oa_curl_own_sockets(easy);
}

static int post_easy_open(struct oa_post *p)
{
	CURL *easy = curl_easy_init();

	if (!easy)
		return -ENOMEM;
	post_set_transfer(easy, p);
	if (curl_easy_setopt(easy, CURLOPT_URL, p->to.url) || post_set_unix(easy, p) || post_set_tls(easy, p)) {
		curl_easy_cleanup(easy);
		return -ENOTSUP;
	}
	p->transfer.easy = easy;
	return 0;
}

/* One buffer for the whole body saves curl rounds of copying and sending. */
static long post_upload_bytes(size_t len)
{
	long bytes = 65536;

	while ((size_t)bytes < len && bytes < 2 << 20)
		bytes *= 2;
	return bytes;
}

static long post_timeout_ms(const struct oa_post *p, uint64_t now_ns)
{
	uint64_t ms = p->timeout_ms;

	if (p->deadline_ns != UINT64_MAX) {
		uint64_t left = (p->deadline_ns - now_ns) / 1000000 + 1;

		if (!ms || left < ms)
			ms = left;
	}
	return ms > INT32_MAX ? INT32_MAX : (long)ms; /* 0: none */
}

/* -- how it ended -- */

static void post_settle(struct oa_post *p, struct oa_post_result result)
{
	p->running = false;
	result.said = p->answer.grpc_message;
	if (!p->aside) {
		oa_stat_inc(result.end == OA_POST_OK ? OA_STAT_export_requests : OA_STAT_export_errors);
		if (result.end != OA_POST_OK)
			oa_wire_set(&p->out, false);
	}
	p->done(p->arg, &result);
	if (!p->running) /* done() may have sent the next */
		oa_answer_trim(&p->answer);
}

/* passes: the same request may succeed later, but not before pause_ms */
static void post_end(struct oa_post *p, bool passes, uint64_t pause_ms, unsigned status, const char *why)
{
	struct oa_bytes body = p->grpc ? OA_LIT("") : oa_bytes(p->answer.body, p->answer.len);

	post_settle(p, (struct oa_post_result){ .end = OA_POST_FAILED, .passes = passes, .pause_ms = pause_ms,
						.status = status, .body = body, .why = why });
}

static void post_fail(struct oa_post *p, unsigned status, const char *why) { post_end(p, false, 0, status, why); }

static void post_too_late(struct oa_post *p) { post_end(p, true, 0, 0, "the deadline passed"); }

/* asked_ms: by the receiver; -1 it did not say */
static uint64_t post_pause_ms(struct oa_post *p, int64_t asked_ms)
{
	uint64_t random = oa_id_random();

	if (asked_ms < 0)
		return oa_retry_pause_ms(++p->attempt, random);
	/* Not before that, and not all at the same moment. */
	return (uint64_t)asked_ms + random % (asked_ms < 5000 ? 100 + (uint64_t)asked_ms / 10 : 600);
}

static void post_retry(struct oa_post *p, unsigned status, int64_t asked_ms, const char *why)
{
	uint64_t pause = post_pause_ms(p, asked_ms), now = oa_now_ns();
	struct timeval tv = { (time_t)(pause / 1000), (suseconds_t)(pause % 1000 * 1000) };

	if (p->once || (p->deadline_ns != UINT64_MAX &&
			(now >= p->deadline_ns || pause >= (p->deadline_ns - now) / 1000000))) {
		post_end(p, true, pause, status, why);
		return;
	}
	oa_dbg("%s: %s, status %u: again in %u ms", p->what, why, status, (unsigned)pause);
	if (evtimer_add(p->timer, &tv)) {
		post_fail(p, status, why);
		return;
	}
	p->next_ns = now + pause * 1000000;
	if (p->aside)
		return;
	oa_wire_set(&p->out, false);
	oa_stat_inc(OA_STAT_export_retries);
}

static bool post_status_passes(unsigned status)
{
	return status == 429 || status == 502 || status == 503 || status == 504;
}

/* Failures of the way there; others, such as a certificate that is not trusted, do not pass by themselves. */
static bool post_code_passes(int code)
{
	switch (code) {
	case OA_CURL_LOST:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_PARTIAL_FILE:
	case CURLE_HTTP2: /* also GOAWAY, and a receiver that speaks HTTP/1 */
	case CURLE_HTTP2_STREAM:
		return true;
	}
	return false;
}

/* curl's own texts are not built in. */
static const char *post_code_text(int code)
{
	switch (code) {
	case OA_CURL_LOST: return "its descriptor was taken away";
	case CURLE_COULDNT_RESOLVE_HOST: return "unknown host";
	case CURLE_COULDNT_CONNECT: return "cannot connect";
	case CURLE_OPERATION_TIMEDOUT: return "timeout";
	case CURLE_SSL_CONNECT_ERROR: return "TLS handshake failed";
	case CURLE_PEER_FAILED_VERIFICATION: return "the certificate is not trusted";
	case CURLE_SSL_CERTPROBLEM: return "the client certificate cannot be used";
	case CURLE_SSL_CACERT_BADFILE: return "the CA certificates cannot be used";
	case CURLE_OUT_OF_MEMORY: return "no memory";
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE: return "the connection broke";
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM: return "no answer that is HTTP/2";
	default: return "no answer that is HTTP";
	}
}

static void post_lost(struct oa_post *p, int code)
{
	const char *why = post_code_text(code);

	if (post_code_passes(code))
		post_retry(p, 0, -1, why);
	else
		post_fail(p, 0, why);
}

static void post_judge_http(struct oa_post *p, unsigned status, int code)
{
	if (status < 200) {
		post_lost(p, code);
	} else if (status < 300) {
		post_settle(p, (struct oa_post_result){ .end = OA_POST_OK, .status = status, .why = "",
							.body = oa_bytes(p->answer.body, p->answer.len) });
	} else if (!post_status_passes(status)) {
		post_fail(p, status, "refused");
	} else {
		post_retry(p, status, oa_retry_after_ms(oa_bytes_str(p->answer.retry_after),
							(int64_t)(oa_unix_now_ns() / 1000000000)), "refused for now");
	}
}

static void post_judge_grpc(struct oa_post *p, unsigned status, int code)
{
	int64_t asked_ms = oa_grpc_retry_ms(oa_bytes_str(p->answer.grpc_details));
	int grpc = p->answer.grpc_status;
	struct oa_bytes message = OA_LIT("");

	if (grpc < 0 && (!status || (status == 200 && code != CURLE_OK))) {
		post_lost(p, code ? code : CURLE_GOT_NOTHING);
		return;
	}
	if (grpc < 0)
		grpc = (int)oa_grpc_of_http(status);
	if (grpc == OA_GRPC_OK) {
		(void)oa_grpc_message(oa_bytes(p->answer.body, p->answer.len), &message); /* none: nothing was rejected */
		post_settle(p, (struct oa_post_result){ .end = OA_POST_OK, .status = status, .why = "", .body = message });
	} else if (oa_grpc_passes(grpc, asked_ms >= 0)) {
		post_retry(p, status, asked_ms, oa_grpc_name(grpc));
	} else {
		post_fail(p, status, oa_grpc_name(grpc));
	}
}

/* Once the status is known it decides, also when the rest of the answer was cut off: sending again what was accepted
 * would double the spans. */
static void post_on_end(struct oa_curl_transfer *t, int code)
{
	struct oa_post *p = (struct oa_post *)((char *)t - offsetof(struct oa_post, transfer));
	long status = 0;

	oa_dbg("%s: transfer ended with code %d", p->what, code);
	if (code == OA_CURL_LOST)
		t->easy = NULL; /* and whatever status it had with it */
	else if (p->answer.head)
		(void)curl_easy_getinfo((CURL *)t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (p->answer.too_long)
		post_fail(p, (unsigned)status, "the answer was too long");
	else if (p->grpc)
		post_judge_grpc(p, (unsigned)status, code);
	else
		post_judge_http(p, (unsigned)status, code);
}

/* -- sending -- */

static void post_attempt(struct oa_post *p)
{
	CURL *easy;

	oa_answer_reset(&p->answer);
	p->sent = 0;
	p->next_ns = 0;
	if (!p->transfer.easy && post_easy_open(p)) {
		post_fail(p, 0, "no memory");
		return;
	}
	easy = p->transfer.easy;
	(void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, p->gzip ? p->gzip_headers : p->headers);
	(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, p->grpc ? NULL : p->body.ptr); /* NULL: post_on_read() */
	(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
			       (curl_off_t)(p->body.len + (p->grpc ? OA_GRPC_PREFIX : 0)));
	if (p->get)
		(void)curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, post_upload_bytes(p->body.len));
	(void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, post_timeout_ms(p, oa_now_ns()));
	if (oa_curl_start(&p->transfer))
		post_fail(p, 0, "no memory");
}

static void post_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct oa_post *p = arg;

	(void)fd, (void)what;
	if (!p->running)
		return;
	if (oa_now_ns() >= p->deadline_ns) /* the loop came late */
		post_too_late(p);
	else
		post_attempt(p);
}

void oa_post_send(struct oa_post *p, struct oa_bytes body, bool gzip, uint64_t deadline_ns, oa_post_done_fn *done,
		  void *arg)
{
	p->body = body;
	p->gzip = gzip;
	oa_grpc_prefix(p->prefix, gzip, body.len);
	p->deadline_ns = deadline_ns;
	p->done = done;
	p->arg = arg;
	p->attempt = 0;
	p->running = true;
	if (oa_now_ns() >= deadline_ns)
		post_too_late(p);
	else
		post_attempt(p);
}

void oa_post_cancel(struct oa_post *p)
{
	if (!p->running)
		return;
	p->running = false;
	(void)evtimer_del(p->timer);
	if (!oa_curl_cancel(&p->transfer))
		p->transfer.easy = NULL;
}

bool oa_post_busy(const struct oa_post *p) { return p->running; }

bool oa_post_pauses(const struct oa_post *p, uint64_t until_ns) { return p->running && p->next_ns > until_ns; }

/* -- opening -- */

static int post_add_header(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);

	if (!longer)
		return -ENOMEM;
	*list = longer;
	return 0;
}

static int post_add_headers(struct curl_slist **list, const char *const *lines, bool grpc)
{
	int err = post_add_header(list, "Expect:"); /* none: it would cost a round trip */

	if (!err && grpc)
		err = post_add_header(list, "te: trailers");
	for (; !err && *lines; lines++)
		err = post_add_header(list, *lines);
	return err;
}

static int post_read_files(struct oa_post *p, const struct oa_post_config *c)
{
	int err = 0;

	if (!p->to.https)
		return 0;
	if (c->ca_file && *c->ca_file)
		err = oa_pem_read(&p->ca, c->ca_file);
	else
		err = oa_pem_read_system_cas(&p->ca);
	if (!err && c->cert_file && *c->cert_file)
		err = oa_pem_read(&p->cert, c->cert_file);
	if (!err && c->key_file && *c->key_file)
		err = oa_pem_read(&p->key, c->key_file);
	if (!err && !p->cert.text != !p->key.text) {
		oa_warn("%s: a client certificate needs its key, and the other way round: nothing is sent", c->what);
		err = -EINVAL;
	}
	return err;
}

static int post_curl_init(void)
{
	static bool done; /* never undone, and good for children too */

	if (!done && curl_global_init(CURL_GLOBAL_DEFAULT))
		return -ENOMEM;
	done = true;
	return 0;
}

int oa_post_open(const struct oa_post_config *config, struct oa_post **ret_post)
{
	struct oa_post *p = calloc(1, sizeof(*p));
	int err;

	if (!p || !oa_loop_base())
		return p ? -ENODEV : -ENOMEM;
	p->what = config->what;
	p->user_agent = config->user_agent;
	p->to = *config->to;
	oa_tls_address_parse(&p->address, p->to.host);
	p->timeout_ms = config->timeout_ms;
	p->grpc = config->grpc;
	p->once = config->once;
	p->get = config->get;
	p->aside = config->aside;
	p->transfer.done = post_on_end;
	p->transfer.talks = p->grpc;
	p->timer = evtimer_new(oa_loop_base(), post_on_timer, p);
	err = p->timer ? post_curl_init() : -ENOMEM;
	if (!err)
		err = post_read_files(p, config);
	if (!err)
		err = post_add_headers(&p->headers, config->headers, p->grpc);
	if (!err)
		err = post_add_headers(&p->gzip_headers, config->headers, p->grpc);
	if (!err)
		err = post_add_header(&p->gzip_headers, p->grpc ? "grpc-encoding: gzip" : "Content-Encoding: gzip");
	if (!err)
		err = post_easy_open(p); /* its resolver reads resolv.conf now, while that can be read */
	if (err)
		return err; /* what was taken so far is lost: the exporter is off for good */
	*ret_post = p;
	return 0;
}
