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
#include "exporter/loop.h"
#include "exporter/pem.h"
#include "exporter/retry.h"
#include "exporter/tls_address.h"

#define POST_USER_AGENT "otelauto/" OA_VERSION " OTel-OTLP-Exporter-C/" OA_VERSION
#define POST_KEEP_MAX   65536 /* a larger buffer for answers is given back */
#define POST_RETRY_AFTER_MAX 64

struct oa_post {
	const char *what;
	struct oa_endpoint to;
	uint64_t timeout_ms;
	struct curl_slist *headers, *gzip_headers;
	struct oa_pem ca, cert, key;
	struct oa_tls_address address;
	struct oa_curl_transfer transfer; /* easy: NULL before the first request and when it had to be left behind */
	struct event *timer;              /* until the next attempt */
	bool running;                     /* a request is under way, or waits for its next attempt */
	bool gzip;
	struct oa_bytes body;
	uint64_t deadline_ns;
	unsigned attempt;                 /* repetitions so far */
	oa_post_done_fn *done;
	void *arg;
	/* the answer */
	uint8_t *answer;
	size_t answer_len, answer_bytes;
	bool answer_too_long;
	bool answer_head; /* its header is complete */
	char retry_after[POST_RETRY_AFTER_MAX];
};

static void post_attempt(struct oa_post *p);

/* -- the answer -- */

static void post_answer_reset(struct oa_post *p)
{
	p->answer_len = 0;
	p->answer_too_long = false;
	p->answer_head = false;
	p->retry_after[0] = '\0';
}

static void post_answer_trim(struct oa_post *p)
{
	if (p->answer_bytes <= POST_KEEP_MAX)
		return;
	free(p->answer);
	p->answer = NULL;
	p->answer_bytes = 0;
}

static bool post_answer_reserve(struct oa_post *p, size_t bytes)
{
	size_t more = p->answer_bytes ? p->answer_bytes : 1024;
	uint8_t *mem;

	if (bytes <= p->answer_bytes)
		return true;
	while (more < bytes)
		more *= 2;
	mem = realloc(p->answer, more);
	if (!mem)
		return false;
	p->answer = mem;
	p->answer_bytes = more;
	return true;
}

static size_t post_on_body(char *data, size_t one, size_t len, void *arg)
{
	struct oa_post *p = arg;

	(void)one; /* 1, always */
	if (len > OA_POST_RESPONSE_MAX - p->answer_len || !post_answer_reserve(p, p->answer_len + len)) {
		p->answer_too_long = true;
		return 0; /* ends the transfer with CURLE_WRITE_ERROR */
	}
	memcpy(p->answer + p->answer_len, data, len);
	p->answer_len += len;
	return len;
}

static size_t post_on_header(char *line, size_t one, size_t len, void *arg)
{
	static const struct oa_bytes name = { (const uint8_t *)"retry-after:", 12 };
	struct oa_post *p = arg;
	struct oa_bytes value;

	(void)one;
	if (len > 5 && memcmp(line, "HTTP/", 5) == 0) /* maybe another one: 1xx came before */
		post_answer_reset(p);
	if (len <= 2 && (line[0] == '\r' || line[0] == '\n'))
		p->answer_head = true;
	if (len < name.len || !oa_bytes_ieq(oa_bytes(line, name.len), name))
		return len;
	value = oa_bytes(line + name.len, len - name.len);
	while (value.len && (value.ptr[value.len - 1] == '\r' || value.ptr[value.len - 1] == '\n'))
		value.len--;
	value = oa_bytes_trim(value);
	if (value.len < sizeof(p->retry_after)) {
		memcpy(p->retry_after, value.ptr, value.len);
		p->retry_after[value.len] = '\0';
	}
	return len;
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
	(void)arg, (void)peer, (void)local, (void)peer_port, (void)local_port;
	oa_wire_set(true);
	return CURL_PREREQFUNC_OK;
}

static void post_set_transfer(CURL *easy, struct oa_post *p)
{
	(void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	(void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	(void)curl_easy_setopt(easy, CURLOPT_USERAGENT, POST_USER_AGENT);
	(void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)OA_POST_CONNECT_MS);
	(void)curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_POST, 1L);
	(void)curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, post_on_connected);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, post_on_body);
	(void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, p);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, post_on_header);
	(void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, p);
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

static void post_settle(struct oa_post *p, enum oa_post_end end, unsigned status, const char *why)
{
	struct oa_post_result result = { end, status, oa_bytes(p->answer, p->answer_len), why };

	p->running = false;
	oa_stat_inc(end == OA_POST_OK ? OA_STAT_export_requests : OA_STAT_export_errors);
	p->done(p->arg, &result);
	if (!p->running) /* done() may have sent the next */
		post_answer_trim(p);
}

static void post_retry(struct oa_post *p, unsigned status, const char *why)
{
	int64_t asked = oa_retry_after_ms(oa_bytes_str(p->retry_after), (int64_t)(oa_unix_now_ns() / 1000000000));
	uint64_t random = oa_id_random(), pause = oa_retry_pause_ms(++p->attempt, random), now = oa_now_ns();
	struct timeval tv;

	if (asked >= 0) /* not before that, and not all at the same moment */
		pause = (uint64_t)asked + random % (asked < 5000 ? 100 + (uint64_t)asked / 10 : 600);
	if (p->deadline_ns != UINT64_MAX && (now >= p->deadline_ns || pause >= (p->deadline_ns - now) / 1000000)) {
		post_settle(p, OA_POST_FAILED, status, why);
		return;
	}
	tv = (struct timeval){ (time_t)(pause / 1000), (suseconds_t)(pause % 1000 * 1000) };
	oa_dbg("%s: %s, status %u: again in %u ms", p->what, why, status, (unsigned)pause);
	if (evtimer_add(p->timer, &tv)) {
		post_settle(p, OA_POST_FAILED, status, why);
		return;
	}
	oa_wire_set(false);
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
	default: return "no answer that is HTTP";
	}
}

/* Once the status is known it decides, also when the rest of the answer was cut off: sending again what was accepted
 * would double the spans. */
static void post_on_end(struct oa_curl_transfer *t, int code)
{
	struct oa_post *p = (struct oa_post *)((char *)t - offsetof(struct oa_post, transfer));
	const char *why = post_code_text(code);
	long status = 0;

	oa_dbg("%s: transfer ended with code %d", p->what, code);
	if (code == OA_CURL_LOST)
		t->easy = NULL; /* and whatever status it had with it */
	else if (p->answer_head)
		(void)curl_easy_getinfo((CURL *)t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (p->answer_too_long)
		post_settle(p, OA_POST_FAILED, (unsigned)status, "the answer was too long");
	else if (status >= 200 && status < 300)
		post_settle(p, OA_POST_OK, (unsigned)status, "");
	else if (status >= 300 && !post_status_passes((unsigned)status))
		post_settle(p, OA_POST_FAILED, (unsigned)status, "refused");
	else if (status >= 300)
		post_retry(p, (unsigned)status, "refused for now");
	else if (post_code_passes(code))
		post_retry(p, 0, why);
	else
		post_settle(p, OA_POST_FAILED, 0, why);
}

/* -- sending -- */

static void post_attempt(struct oa_post *p)
{
	CURL *easy;

	post_answer_reset(p);
	if (!p->transfer.easy && post_easy_open(p)) {
		post_settle(p, OA_POST_FAILED, 0, "no memory");
		return;
	}
	easy = p->transfer.easy;
	(void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, p->gzip ? p->gzip_headers : p->headers);
	(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, p->body.ptr);
	(void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)p->body.len);
	(void)curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, post_upload_bytes(p->body.len));
	(void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, post_timeout_ms(p, oa_now_ns()));
	if (oa_curl_start(&p->transfer))
		post_settle(p, OA_POST_FAILED, 0, "no memory");
}

static void post_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct oa_post *p = arg;

	(void)fd, (void)what;
	if (!p->running)
		return;
	if (oa_now_ns() >= p->deadline_ns) /* the loop came late */
		post_settle(p, OA_POST_FAILED, 0, "the deadline passed");
	else
		post_attempt(p);
}

void oa_post_send(struct oa_post *p, struct oa_bytes body, bool gzip, uint64_t deadline_ns, oa_post_done_fn *done,
		  void *arg)
{
	p->body = body;
	p->gzip = gzip;
	p->deadline_ns = deadline_ns;
	p->done = done;
	p->arg = arg;
	p->attempt = 0;
	p->running = true;
	if (oa_now_ns() >= deadline_ns)
		post_settle(p, OA_POST_FAILED, 0, "the deadline passed");
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

/* -- opening -- */

static int post_add_header(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);

	if (!longer)
		return -ENOMEM;
	*list = longer;
	return 0;
}

static int post_add_headers(struct curl_slist **list, const char *const *lines)
{
	int err = post_add_header(list, "Expect:"); /* none: it would cost a round trip */

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
	p->to = *config->to;
	oa_tls_address_parse(&p->address, p->to.host);
	p->timeout_ms = config->timeout_ms;
	p->transfer.done = post_on_end;
	p->timer = evtimer_new(oa_loop_base(), post_on_timer, p);
	err = p->timer ? post_curl_init() : -ENOMEM;
	if (!err)
		err = post_read_files(p, config);
	if (!err)
		err = post_add_headers(&p->headers, config->headers);
	if (!err)
		err = post_add_headers(&p->gzip_headers, config->headers);
	if (!err)
		err = post_add_header(&p->gzip_headers, "Content-Encoding: gzip");
	if (!err)
		err = post_easy_open(p); /* its resolver reads resolv.conf now, while that can be read */
	if (err)
		return err; /* what was taken so far is lost: the exporter is off for good */
	*ret_post = p;
	return 0;
}
