/* dlopen_client PLUGIN PORT: loads the plugin, lets it make a request, unloads it, and does that
 * again. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "app.h"

int main(int argc, char **argv)
{
	app_start();
	if (argc < 3)
		return 2;
	for (int i = 0; i < 2; i++) {
		void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
		int (*call)(int);

		if (!plugin) {
			puts(dlerror());
			return 1;
		}
		*(void **)&call = dlsym(plugin, "plugin_call");
		printf("%d\n", call(atoi(argv[2])));
		dlclose(plugin);
	}
	return app_finish(0);
}
