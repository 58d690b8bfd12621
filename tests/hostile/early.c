/* Row 21. */
#include "hostile.h"

int early_anchor(void);

int main(void)
{
	int fd[2];

	CHECK(early_anchor());
	hostile_start(fd, NULL);
	puts("early constructor and main both served");
	return 0;
}
