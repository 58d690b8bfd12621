/* http_get PORT PATH [METHOD]: one blocking request. Prints the status and the body. */
#include <stdio.h>
#include <stdlib.h>

#include "app.h"

int main(int argc, char **argv)
{
	char body[2048] = "";
	int status;

	app_start();
	if (argc < 3)
		return 2;
	status = app_call(atoi(argv[1]), argc > 3 ? argv[3] : "GET", argv[2], "", body,
			  sizeof(body));
	printf("%d %s\n", status, body);
	return app_finish(status < 0);
}
