/* early_read PORT: linked with a library that does I/O in its constructor (early.c); afterwards a
 * request of its own. */
#include <stdio.h>
#include <stdlib.h>

#include "app.h"
#include "early.h"

int main(int argc, char **argv)
{
	char body[256] = "";

	app_start();
	fputs(early_story, stdout);
	if (argc > 1)
		printf("%d %s\n", app_call(atoi(argv[1]), "GET", "/main", "", body, sizeof(body)),
		       body);
	return app_finish(0);
}
