/* OpenSSL 1.1 and 3, and what is like them (LibreSSL): plain text at SSL_read and SSL_write and their other forms. The
 * library's objects are opaque here; what we ask of it are functions that read a field. The error queue is never
 * touched: SSL_get_error() may allocate it, SSL_want() does not. */
#include "hooks/tls.h"

#include "core/clock.h"

typedef struct ssl_st SSL;

/* As in the library's own headers. */
int SSL_read(SSL *ssl, void *buf, int num);
int SSL_read_ex(SSL *ssl, void *buf, size_t num, size_t *ret_read);
int SSL_read_early_data(SSL *ssl, void *buf, size_t num, size_t *ret_read);
int SSL_write(SSL *ssl, const void *buf, int num);
int SSL_write_ex(SSL *ssl, const void *buf, size_t num, size_t *ret_written);
int SSL_write_early_data(SSL *ssl, const void *buf, size_t num, size_t *ret_written);
ssize_t SSL_sendfile(SSL *ssl, int fd, off_t offset, size_t size, int flags);
int SSL_do_handshake(SSL *ssl);
int SSL_accept(SSL *ssl);
int SSL_connect(SSL *ssl);
int SSL_shutdown(SSL *ssl);
int SSL_clear(SSL *ssl);
void SSL_free(SSL *ssl);
long SSL_ctrl(SSL *ssl, int command, long number, void *pointer);
size_t SSL_get_client_random(const SSL *ssl, unsigned char *ret, size_t len);
int SSL_is_server(const SSL *ssl);
int SSL_is_init_finished(const SSL *ssl);
int SSL_is_quic(const SSL *ssl);
int SSL_is_dtls(const SSL *ssl);
int SSL_want(const SSL *ssl);
int SSL_get_shutdown(const SSL *ssl);
int SSL_version(const SSL *ssl);
const void *SSL_get_current_cipher(const SSL *ssl);
uint16_t SSL_CIPHER_get_protocol_id(const void *cipher);
const char *SSL_get_servername(const SSL *ssl, int type);
long SSL_get_verify_result(const SSL *ssl);

#define CTRL_MODE          33
#define MODE_PARTIAL_WRITE 1
#define MODE_MOVING_BUFFER 2
#define WANT_NOTHING       1
#define RECEIVED_SHUTDOWN  2
#define EARLY_DATA_SUCCESS 1

#define OA_LIB_LIST "hooks/openssl.def"
#define OA_LIB_FILE "libssl"
#include "hooks/lib_names.h"

/* -- what can be asked -- */

/* QUIC, and DTLS: no stream, and what waits to be sent may be thrown away. */
static bool openssl_is_no_stream(const struct oa_tls_source *src)
{
	return ASK(src, SSL_is_quic, 0) || ASK(src, SSL_is_dtls, 0);
}

static OA_HOT bool openssl_random(const struct oa_tls_source *src, uint8_t ret[32])
{
	return ASK(src, SSL_get_client_random, 0, ret, 32) == 32;
}

static enum oa_role openssl_role(const struct oa_tls_source *src)
{
	return !FN(src->lib, SSL_is_server) ? OA_ROLE_UNKNOWN : ASK(src, SSL_is_server, 0) ? OA_ROLE_SERVER : OA_ROLE_CLIENT;
}

static bool openssl_finished(const struct oa_tls_source *src)
{
	return ASK(src, SSL_is_init_finished, 1);
}

static uint16_t openssl_version(const struct oa_tls_source *src)
{
	return (uint16_t)ASK(src, SSL_version, 0);
}

static uint16_t openssl_cipher(const struct oa_tls_source *src)
{
	const void *cipher = ASK(src, SSL_get_current_cipher, NULL);

	return cipher && FN(src->lib, SSL_CIPHER_get_protocol_id) ?
		       FN(src->lib, SSL_CIPHER_get_protocol_id)(cipher) : 0;
}

static struct oa_bytes openssl_name(const struct oa_tls_source *src)
{
	const char *name = ASK(src, SSL_get_servername, NULL, 0);

	return name ? oa_bytes(name, strnlen(name, 256)) : (struct oa_bytes){ 0 };
}

static bool openssl_distrusted(const struct oa_tls_source *src)
{
	return ASK(src, SSL_get_verify_result, 0) != 0;
}

static OA_HOT unsigned openssl_modes(const struct oa_tls_source *src)
{
	long mode = ASK(src, SSL_ctrl, 0, CTRL_MODE, 0, NULL);

	return (mode & MODE_PARTIAL_WRITE ? OA_TLS_PARTIAL : 0) | (mode & MODE_MOVING_BUFFER ? OA_TLS_MOVING : 0);
}

static const struct oa_tls_ops openssl_ops = {
	.modes = openssl_modes, .foreign = openssl_is_no_stream, .random = openssl_random, .role = openssl_role, .finished = openssl_finished,
	.version = openssl_version, .cipher = openssl_cipher, .name = openssl_name, .distrusted = openssl_distrusted,
};

/* -- one call -- */

/* Each hook begins with this: it must be in the hook itself, whose caller it asks for. */
#define CALL_BEGIN(k, ssl) \
	struct oa_tls_call k; \
	k.call.lib = oa_lib_of(&lib_names, (ssl), CALLER); \
	oa_tls_begin(&k, &openssl_ops, (ssl), CALLER)

/* What a call that did not succeed means. */
static enum oa_tls_result call_result(const struct oa_tls_call *k)
{
	return ASK(&k->src, SSL_want, 0) == WANT_NOTHING ? OA_TLS_FAILED : OA_TLS_AGAIN;
}

/* errno of a connection that broke; 0: it ended, or for reasons of TLS's own. */
static int call_errno(const struct oa_tls_call *k, int err)
{
	if (ASK(&k->src, SSL_get_shutdown, 0) & RECEIVED_SHUTDOWN)
		return 0;
	return oa_tls_broken(err);
}

/* -- reading -- */

static OA_HOT void read_tell(const struct oa_tls_call *k, const void *buf, size_t n)
{
	if (!k->ref.gen)
		return;
	OA_OBSERVE() {
		if (n)
			oa_tls_on_read(&k->src, k->ref, buf, n);
		else if (call_result(k) == OA_TLS_FAILED)
			oa_tls_on_end(&k->src, k->ref, call_errno(k, g_.err));
	}
}

OA_HOT OA_EXPORT int SSL_read(SSL *ssl, void *buf, int num)
{
	int result;
	CALL_BEGIN(k, ssl);

	result = FN(k.call.lib, SSL_read)(ssl, buf, num);

	oa_lib_end(&k.call);
	if (num > 0)
		read_tell(&k, buf, result > 0 ? (size_t)result : 0);
	return result;
}

OA_EXPORT int SSL_read_ex(SSL *ssl, void *buf, size_t num, size_t *ret_read)
{
	int result;
	CALL_BEGIN(k, ssl);

	result = FN(k.call.lib, SSL_read_ex)(ssl, buf, num, ret_read);

	oa_lib_end(&k.call);
	if (num)
		read_tell(&k, buf, result > 0 ? *ret_read : 0);
	return result;
}

OA_EXPORT int SSL_read_early_data(SSL *ssl, void *buf, size_t num, size_t *ret_read)
{
	int result;
	CALL_BEGIN(k, ssl);

	result = FN(k.call.lib, SSL_read_early_data)(ssl, buf, num, ret_read);

	oa_lib_end(&k.call);
	if (result == EARLY_DATA_SUCCESS ? *ret_read != 0 : result == 0)
		read_tell(&k, buf, result ? *ret_read : 0);
	return result;
}

/* -- writing -- */

struct put {
	bool ex;
	int result;    /* the library's */
	size_t taken;  /* when it took something */
};

static OA_HOT enum oa_tls_result put_call(const struct oa_tls_call *k, struct put *p, const void *buf, size_t len)
{
	p->taken = 0;
	if (p->ex) {
		p->result = FN(k->call.lib, SSL_write_ex)(k->src.session, buf, len, &p->taken);
	} else {
		p->result = FN(k->call.lib, SSL_write)(k->src.session, buf, (int)len);
		p->taken = p->result > 0 ? (size_t)p->result : 0;
	}
	return p->result > 0 ? OA_TLS_DONE : OA_TLS_FAILED;
}

OA_HOT OA_SLOW size_t put_watched(struct oa_tls_call *k, struct put *p, const void *buf, size_t len)
{
	enum oa_tls_result result;
	struct oa_tls_write w;
	bool watched = false;
	size_t host;
	int err;

	OA_OBSERVE_ALWAYS()
		watched = oa_tls_before_write(&k->src, k->ref, buf, len, &w);
	if (!watched) {
		put_call(k, p, buf, len);
		return p->taken;
	}
	do {
		result = put_call(k, p, w.at, w.len);
		err = errno;
		if (result == OA_TLS_FAILED)
			result = call_result(k);
		errno = err;
	} while (oa_tls_told(k, &w, p->taken, result, result == OA_TLS_FAILED ? call_errno(k, err) : 0, &host));
	return host;
}

OA_HOT OA_EXPORT int SSL_write(SSL *ssl, const void *buf, int num)
{
	struct put p = { .ex = false };
	size_t host = 0;
	CALL_BEGIN(k, ssl);

	if (k.ref.gen && num > 0 && oa_hook_plausible(buf, (size_t)num))
		host = put_watched(&k, &p, buf, (size_t)num);
	else
		p.result = FN(k.call.lib, SSL_write)(ssl, buf, num);
	oa_lib_end(&k.call);
	return host ? (int)host : p.result;
}

OA_EXPORT int SSL_write_ex(SSL *ssl, const void *buf, size_t num, size_t *ret_written)
{
	struct put p = { .ex = true };
	size_t host = 0;
	CALL_BEGIN(k, ssl);

	if (k.ref.gen && num && oa_hook_plausible(buf, num))
		host = put_watched(&k, &p, buf, num);
	else
		p.result = FN(k.call.lib, SSL_write_ex)(ssl, buf, num, ret_written);
	oa_lib_end(&k.call);
	if (!host)
		return p.result;
	*ret_written = host;
	return 1;
}

/* Whether the peer takes it is known later, and whether it is sent again then is the host's business. */
OA_EXPORT int SSL_write_early_data(SSL *ssl, const void *buf, size_t num, size_t *ret_written)
{
	int result;
	CALL_BEGIN(k, ssl);

	if (k.ref.gen)
		OA_OBSERVE()
			oa_tls_give_up(k.ref, OA_STAT_opaque_early_data);
	result = FN(k.call.lib, SSL_write_early_data)(ssl, buf, num, ret_written);
	oa_lib_end(&k.call);
	return result;
}

OA_EXPORT ssize_t SSL_sendfile(SSL *ssl, int fd, off_t offset, size_t size, int flags)
{
	ssize_t n;
	CALL_BEGIN(k, ssl);

	n = FN(k.call.lib, SSL_sendfile)(ssl, fd, offset, size, flags);

	oa_lib_end(&k.call);
	if (k.ref.gen && n > 0)
		OA_OBSERVE()
			oa_tls_on_sent_blind(k.ref, (size_t)n);
	return n;
}

/* -- the beginning and the end -- */

/* `fn`: one of the three functions that shake hands. */
static int handshake(SSL *ssl, unsigned fn, uintptr_t caller)
{
	struct oa_tls_call k = { .call.lib = oa_lib_of(&lib_names, ssl, caller) };
	uint64_t start_ns;
	int result;

	oa_tls_begin(&k, &openssl_ops, ssl, caller);
	start_ns = k.ref.gen ? oa_now_ns() : 0;
	result = ((int (*)(SSL *))k.call.lib->fn[fn])(ssl);
	oa_lib_end(&k.call);
	if (k.ref.gen)
		OA_OBSERVE()
			oa_tls_on_handshake(&k.src, k.ref, start_ns, result == 1 ? OA_TLS_DONE : call_result(&k));
	return result;
}

OA_EXPORT int SSL_do_handshake(SSL *ssl)
{
	return handshake(ssl, FN_SSL_do_handshake, CALLER);
}

OA_EXPORT int SSL_accept(SSL *ssl)
{
	return handshake(ssl, FN_SSL_accept, CALLER);
}

OA_EXPORT int SSL_connect(SSL *ssl)
{
	return handshake(ssl, FN_SSL_connect, CALLER);
}

OA_EXPORT int SSL_shutdown(SSL *ssl)
{
	struct oa_lib_call k = { .lib = oa_lib_of(&lib_names, ssl, CALLER) };
	bool own = oa_lib_begin(&k, ssl, CALLER);
	int result = FN(k.lib, SSL_shutdown)(ssl);

	oa_lib_end(&k);
	if (own && ssl && oa_hook_active())
		OA_OBSERVE()
			oa_tls_on_shutdown(ssl);
	return result;
}

/* The object is about to be used for another connection. (The library itself begins each handshake with this.) */
OA_EXPORT int SSL_clear(SSL *ssl)
{
	struct oa_lib_call k = { .lib = oa_lib_of(&lib_names, ssl, CALLER) };
	int result;

	if (oa_lib_begin(&k, ssl, CALLER))
		oa_tls_session_ends(ssl);
	result = FN(k.lib, SSL_clear)(ssl);
	oa_lib_end(&k);
	return result;
}

OA_EXPORT void SSL_free(SSL *ssl)
{
	struct oa_lib_call k = { .lib = oa_lib_of(&lib_names, ssl, CALLER) };

	if (oa_lib_begin(&k, ssl, CALLER))
		oa_tls_session_ends(ssl);
	FN(k.lib, SSL_free)(ssl);
	oa_lib_end(&k);
}
