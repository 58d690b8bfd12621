/* Row 21. */
#include "hostile.h"

int early_anchor(void);

int main(void)
{
	int fd[2], listener;

	CHECK(early_anchor());
	hostile_start(fd, &listener);
	hostile_last(listener);
	puts("early constructor and main both served");
	return 0;
}
