/* Loaded by dlopen_client with RTLD_LOCAL: its calls are bound after the program has started. */
#include "app.h"

__attribute__((visibility("default"))) int plugin_call(int port);

int plugin_call(int port)
{
	char body[256];

	return app_call(port, "GET", "/plugin", "", body, sizeof(body));
}
