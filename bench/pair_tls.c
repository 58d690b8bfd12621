#include "pair_tls.h"

#include <dlfcn.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "measure.h"

#define FDS_MAX 65536

static SSL *sessions[FDS_MAX]; /* by descriptor */
static struct calls {
	int (*read)(SSL *, void *, int);
	int (*write)(SSL *, const void *, int);
	int (*accept)(SSL *);
	int (*connect)(SSL *);
} raw, plt = { SSL_read, SSL_write, SSL_accept, SSL_connect };
static SSL_CTX *client_ctx, *server_ctx;
static __thread char buf[4096];

static void self_signed(SSL_CTX *ctx)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();

	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)"bench", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	if (!X509_sign(cert, key, EVP_sha256()) || SSL_CTX_use_certificate(ctx, cert) != 1 ||
	    SSL_CTX_use_PrivateKey(ctx, key) != 1)
		measure_die("certificate");
}

static void prepare(void)
{
	void *library = dlopen("libssl.so.3", RTLD_LAZY);

	if (client_ctx)
		return;
	*(void **)&raw.read = dlsym(library, "SSL_read");
	*(void **)&raw.write = dlsym(library, "SSL_write");
	*(void **)&raw.accept = dlsym(library, "SSL_accept");
	*(void **)&raw.connect = dlsym(library, "SSL_connect");
	client_ctx = SSL_CTX_new(TLS_client_method());
	server_ctx = SSL_CTX_new(TLS_server_method());
	SSL_CTX_set_num_tickets(server_ctx, 0);
	self_signed(server_ctx);
}

struct greeting {
	SSL *ssl;
	const struct calls *k;
};

static void *greet(void *arg)
{
	struct greeting *g = arg;

	if (g->k->connect(g->ssl) != 1)
		measure_die("SSL_connect");
	return NULL;
}

void pair_tls_open(int client, int server, bool observe_server)
{
	struct greeting g;
	pthread_t thread;

	prepare();
	sessions[client] = SSL_new(client_ctx);
	sessions[server] = SSL_new(server_ctx);
	SSL_set_fd(sessions[client], client);
	SSL_set_fd(sessions[server], server);
	g = (struct greeting){ sessions[client], observe_server ? &raw : &plt };
	if (pthread_create(&thread, NULL, greet, &g))
		measure_die("pthread_create");
	if ((observe_server ? &plt : &raw)->accept(sessions[server]) != 1)
		measure_die("SSL_accept");
	pthread_join(thread, NULL);
}

static void expect(int n)
{
	if (n <= 0)
		measure_die("exchange inside TLS");
}

uint32_t pair_tls_server(int client, int server, bool observed)
{
	const struct calls *k = observed ? &plt : &raw;
	uint64_t t0, t1;

	expect(raw.write(sessions[client], measure_request, (int)strlen(measure_request)));
	t0 = __rdtsc();
	expect(k->read(sessions[server], buf, sizeof(buf)));
	expect(k->write(sessions[server], measure_response, (int)measure_response_len));
	t1 = __rdtsc();
	expect(raw.read(sessions[client], buf, sizeof(buf)));
	return (uint32_t)(t1 - t0);
}

uint32_t pair_tls_client(int client, int server, bool observed)
{
	const struct calls *k = observed ? &plt : &raw;
	uint64_t t0, t1, t2, t3;

	t0 = __rdtsc();
	expect(k->write(sessions[client], measure_request_untraced, (int)strlen(measure_request_untraced)));
	t1 = __rdtsc();
	expect(raw.read(sessions[server], buf, sizeof(buf)));
	expect(raw.write(sessions[server], measure_response, (int)measure_response_len));
	t2 = __rdtsc();
	expect(k->read(sessions[client], buf, sizeof(buf)));
	t3 = __rdtsc();
	return (uint32_t)(t1 - t0 + t3 - t2);
}
