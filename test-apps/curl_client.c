/* curl_client PORT: libcurl's easy interface (GET, HEAD, POST, a 404, a refused connection), then
 * eight GETs at once with the multi interface. Prints the result of each in a fixed order. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#include "app.h"

#define PARALLEL 8

static size_t count_bytes(char *data, size_t size, size_t n, void *arg)
{
	(void)data;
	*(size_t *)arg += size * n;
	return size * n;
}

static CURL *handle(const char *port, const char *path, size_t *bytes)
{
	CURL *h = curl_easy_init();
	char url[256];

	snprintf(url, sizeof(url), "http://127.0.0.1:%s%s", port, path);
	curl_easy_setopt(h, CURLOPT_URL, url);
	curl_easy_setopt(h, CURLOPT_PROXY, "");
	curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, count_bytes);
	curl_easy_setopt(h, CURLOPT_WRITEDATA, bytes);
	return h;
}

static void report(const char *what, CURL *h, CURLcode code, size_t bytes)
{
	long status = 0;

	curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
	printf("%s: %s, status %ld, %zu bytes\n", what, code ? curl_easy_strerror(code) : "ok",
	       status, bytes);
}

static void easy(const char *port)
{
	size_t bytes = 0;
	CURL *h = handle(port, "/easy/get", &bytes);
	char url[256];

	report("get", h, curl_easy_perform(h), bytes);
	bytes = 0;
	curl_easy_setopt(h, CURLOPT_NOBODY, 1L);
	report("head", h, curl_easy_perform(h), bytes);
	curl_easy_setopt(h, CURLOPT_NOBODY, 0L);
	curl_easy_setopt(h, CURLOPT_POSTFIELDS, "a=1&b=2");
	bytes = 0;
	report("post", h, curl_easy_perform(h), bytes);
	curl_easy_setopt(h, CURLOPT_HTTPGET, 1L);
	snprintf(url, sizeof(url), "http://127.0.0.1:%s/status/404", port);
	curl_easy_setopt(h, CURLOPT_URL, url);
	bytes = 0;
	report("missing", h, curl_easy_perform(h), bytes);
	curl_easy_cleanup(h);
	bytes = 0;
	h = handle("1", "/refused", &bytes);
	report("refused", h, curl_easy_perform(h), bytes);
	curl_easy_cleanup(h);
}

static void multi(const char *port)
{
	CURLM *m = curl_multi_init();
	CURL *h[PARALLEL];
	size_t bytes[PARALLEL] = { 0 };
	int running = 1;

	for (int i = 0; i < PARALLEL; i++) {
		h[i] = handle(port, "/multi/get", &bytes[i]);
		curl_multi_add_handle(m, h[i]);
	}
	while (running && curl_multi_perform(m, &running) == CURLM_OK)
		if (running)
			curl_multi_poll(m, NULL, 0, 1000, NULL);
	for (int i = 0; i < PARALLEL; i++) {
		report("multi", h[i], CURLE_OK, bytes[i]);
		curl_multi_remove_handle(m, h[i]);
		curl_easy_cleanup(h[i]);
	}
	curl_multi_cleanup(m);
}

int main(int argc, char **argv)
{
	app_start();
	if (argc < 2)
		return 2;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	easy(argv[1]);
	multi(argv[1]);
	curl_global_cleanup();
	return app_finish(0);
}
