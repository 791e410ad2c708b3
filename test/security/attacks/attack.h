/* What the attack programs share. Each prints one line of JSON:
 *
 *   {"reached": bool, "detail": "case=outcome ...", "note": "..."}
 *
 * `reached`: something that belongs to the host alone was reached, opened or learnt. `detail` must
 * read the same with and without acceleration; `note` may differ. Addresses come from the
 * environment (HOST4, HOST6, REMOTE4, REMOTE6; SILENT4, SILENT6: a place that swallows). */
#ifndef ATTACK_H
#define ATTACK_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  ECHO_PORT = 7,         /* on remote, TCP and UDP */
  REFUSING_PORT = 81,    /* on remote: nothing */
  LOOPBACK_PORT = 18001, /* on the host's 127.0.0.1 and ::1, TCP and UDP */
  LAN_PORT = 18002,      /* on the host's LAN addresses, TCP and UDP */
  WITNESS_PORT = 18003,  /* on remote: looks at the host from outside and inside */
};

struct address {
  struct sockaddr_storage raw;
  socklen_t length;
};

/* Every spelling of loopback and unspecified, ended by NULL. */
extern const char* const LOOPBACKS[];

struct address address(const char* text, int port); /* numeric, "fe80::1%2" too */
const char* setting(const char* name);              /* an environment variable that must be there */
struct address remote4(int port);
struct address remote6(int port);
const struct sockaddr* raw(const struct address* address);

/* A TCP or UDP socket that is connected to remote's echo: a host socket when accelerated. */
int connected_socket(int family, int type);
/* An unconnected TCP socket whose connect to remote was refused, and the error fetched: it stays a
 * host socket. */
int refused_socket(int family);
int disconnect(int fd);
/* Waits at most a second, blocking or not; then reads a greeting. Returns an errno's name,
 * "timeout", "connected", or the greeting, and remembers when it was the host's loopback service's.
 */
const char* try_connect(int fd, const struct address* to, bool blocking);
const char* greeting(int fd);
const char* outcome(long result); /* "ok", or the errno's name of a call that returned -1 */

/* A port below the range that the kernel gives out by itself; another one each time. */
int some_port(void);
void random_token(char token[64]); /* one that no other datagram carries */
/* What can be seen of a TCP or UDP port from outside and on the host. "closed" is the only harmless
 * answer. Remembers. */
const char* look_at_port(int fd, const char* protocol);
/* Asks the witness anything; the answer is one line. */
const char* witness(const char* format, ...) __attribute__((format(printf, 1, 2)));

void reached(void);
bool is_reached(void);
void detail(const char* format, ...) __attribute__((format(printf, 1, 2)));
void note(const char* format, ...) __attribute__((format(printf, 1, 2)));
long tries(long otherwise); /* TRIES of the environment */
long elapsed_ms(void);
int finish(void);

#endif
