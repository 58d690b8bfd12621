/* Somebody who uses the library it is linked to. Not by a jump: the caller must be this object. */
int made_up_read(void *session);
int made_up_connect(void *session);
int module_read(void *session);
int module_connect(void *session);

int module_read(void *session)
{
	volatile int got = made_up_read(session);

	return got;
}

int module_connect(void *session)
{
	volatile int got = made_up_connect(session);

	return got;
}
