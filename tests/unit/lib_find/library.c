/* A made-up TLS library, built twice: says which copy it is. Its second function ends in a jump to the first, as OpenSSL's
 * SSL_connect() does. */
int made_up_read(void *session);
int made_up_connect(void *session);

int made_up_read(void *session)
{
	(void)session;
	return COPY;
}

int made_up_connect(void *session)
{
	return made_up_read(session);
}
