/* The ground truth: a target that answers when it is told to, and keeps a record of what really happened on the wire.
 *
 *   target PORT TLS_PORT CERTIFICATE KEY LOG      (prints "ready", ends with its standard input)
 *   GET /?id=N&delay=MS&size=BYTES&parts=N&gap=MS (any address of 127.0.0.1 to 127.0.0.16)
 *
 * Every answer carries `X-Record: N`, the place of its record in LOG. All times are CLOCK_REALTIME in nanoseconds:
 *   syn      the kernel saw the client's SYN (packet socket; 0 without CAP_NET_RAW)
 *   hello    the kernel received the first bytes, for TLS those of the ClientHello
 *   flight   our clock right before our first flight of TLS left; 0 without TLS
 *   request  the kernel received the last bytes of the request
 *   first, last   our clock right before the first and the last byte of the answer left
 * One thread, edge by level, no allocation per answer but OpenSSL's: its own lateness is part of the truth, not of the error.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { ADDRESSES = 16, RECORDS = 1 << 20, CONNECTIONS = 1 << 15, BODY = 1 << 14 };

struct record { uint64_t id, syn, hello, flight, request, first, last, tls; };
struct log { uint64_t count, reserved[7]; struct record record[RECORDS]; };

struct connection {
  int fd, slot, parts;               /* slot: place in the heap of those that wait, 0 for none */
  SSL *tls;
  uint64_t wake, gap;
  size_t size, used;
  char text[2048];
  struct record seen;
};

static struct log *journal;
static uint64_t syns[ADDRESSES][65536];
static struct connection *waiting[CONNECTIONS + 1];
static int waiters, poll_fd, packets = -1, ports[2];
static SSL_CTX *tls_context;
static char filler[BODY];

static void die(const char *what) { perror(what); exit(1); }

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t stamp(struct msghdr *message) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
    if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
      struct timespec t;
      memcpy(&t, CMSG_DATA(c), sizeof t);
      return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
    }
  return 0;
}

static ssize_t receive(int fd, void *to, size_t room, uint64_t *at) {
  char control[128];
  struct iovec part = {to, room};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);
  if (n > 0) *at = stamp(&message);
  return n;
}

/* Who waits, earliest first. */
static void place(int i, struct connection *c) { waiting[i] = c; c->slot = i; }
static void sift(int i) {
  struct connection *c = waiting[i];
  for (; i > 1 && waiting[i / 2]->wake > c->wake; i /= 2) place(i, waiting[i / 2]);
  for (int child; (child = 2 * i) <= waiters; i = child) {
    if (child < waiters && waiting[child + 1]->wake < waiting[child]->wake) child++;
    if (waiting[child]->wake >= c->wake) break;
    place(i, waiting[child]);
  }
  place(i, c);
}
static void put_to_wait(struct connection *c, uint64_t until) { c->wake = until; place(++waiters, c); sift(waiters); }
static void take_from_wait(struct connection *c) {
  int i = c->slot;
  if (!i) return;
  c->slot = 0;
  struct connection *last = waiting[waiters--];
  if (last != c) { place(i, last); sift(i); }
}

static void end(struct connection *c) {
  take_from_wait(c);
  if (c->tls) SSL_free(c->tls);
  close(c->fd);
  c->fd = -1;
  free(c);
}

/* What fits a socket's buffer in one go is all that we ever send. */
static int push(struct connection *c, const void *data, size_t n) { return send(c->fd, data, n, MSG_NOSIGNAL) == (ssize_t)n ? 0 : -1; }
static int push_tls(struct connection *c) {
  char *data;
  long n = BIO_get_mem_data(SSL_get_wbio(c->tls), &data);
  int failed = n > 0 ? push(c, data, (size_t)n) : 0;
  (void)BIO_reset(SSL_get_wbio(c->tls));
  return failed;
}

static void answer(struct connection *c) {
  char out[BODY + 512];
  size_t n = 0;
  if (!c->seen.first) {
    int length = snprintf(out, 512,
      "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\nConnection: close\r\nX-Record: %llu\r\n\r\n",
      c->size * (size_t)c->parts, (unsigned long long)journal->count);
    n = (size_t)length;
    c->seen.id += journal->count++ << 32;
  }
  memcpy(out + n, filler, c->size);
  n += c->size;
  uint64_t t = now();
  if (!c->seen.first) c->seen.first = t;
  c->seen.last = t;
  int failed = c->tls ? SSL_write(c->tls, out, (int)n) <= 0 || push_tls(c) : push(c, out, n);
  if (!failed && --c->parts > 0) { put_to_wait(c, t + c->gap); return; }
  uint64_t number = c->seen.id >> 32;
  c->seen.id &= 0xffffffff;
  if (number < RECORDS) journal->record[number] = c->seen;
  if (!failed && c->tls) { SSL_shutdown(c->tls); push_tls(c); }
  end(c);
}

static uint64_t number(const char *text, const char *name, uint64_t otherwise) {
  const char *found = strstr(text, name), *line = strchr(text, '\r');
  return found && found < line ? strtoull(found + strlen(name), 0, 10) : otherwise;
}

static void ask(struct connection *c) {
  c->text[c->used] = 0;
  if (c->slot || !strstr(c->text, "\r\n\r\n")) return;
  c->seen.id = number(c->text, "id=", 0) & 0xffffffff;
  c->size = number(c->text, "size=", 64);
  if (c->size > BODY) c->size = BODY;
  c->parts = (int)number(c->text, "parts=", 1);
  c->gap = number(c->text, "gap=", 0) * 1000000;
  uint64_t delay = number(c->text, "delay=", 0);
  put_to_wait(c, delay ? c->seen.request + delay * 1000000 : 0);
}

static void hear(struct connection *c) {
  char data[16384];
  uint64_t at = 0;
  ssize_t n = receive(c->fd, data, sizeof data, &at);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) { end(c); return; }
  if (!c->seen.hello) c->seen.hello = at;
  if (!c->slot && !c->seen.first) c->seen.request = at;
  if (!c->tls) {
    if (c->used + (size_t)n >= sizeof c->text) { end(c); return; }
    memcpy(c->text + c->used, data, (size_t)n);
    c->used += (size_t)n;
    ask(c);
    return;
  }
  BIO_write(SSL_get_rbio(c->tls), data, (int)n);
  if (!SSL_is_init_finished(c->tls)) {
    int done = SSL_do_handshake(c->tls);
    int wants = SSL_get_error(c->tls, done) == SSL_ERROR_WANT_READ;
    if (!c->seen.flight) c->seen.flight = now();
    ERR_clear_error();
    if (push_tls(c) || (done != 1 && !wants)) { end(c); return; }
    if (done != 1) return;
  }
  for (;;) {
    int got = SSL_read(c->tls, c->text + c->used, (int)(sizeof c->text - 1 - c->used));
    if (got <= 0) {
      int wants = SSL_get_error(c->tls, got) == SSL_ERROR_WANT_READ;
      ERR_clear_error();
      if (!wants) end(c);
      return;
    }
    c->used += (size_t)got;
    ask(c);
  }
}

/* SYNs to our ports, each seen before its connection can be accepted; loopback shows them twice, the first one counts. */
static void watch_syns(void) {
  struct sock_filter only[] = {
    BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_TCP, 0, 8),
    BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
    BPF_STMT(BPF_LD | BPF_B | BPF_IND, 13), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 2, 0, 4),
    BPF_STMT(BPF_LD | BPF_H | BPF_IND, 2), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)ports[0], 1, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)ports[1], 0, 1),
    BPF_STMT(BPF_RET | BPF_K, 60), BPF_STMT(BPF_RET | BPF_K, 0)};
  struct sock_fprog program = {sizeof only / sizeof *only, only};
  struct sockaddr_ll where = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = (int)if_nametoindex("lo")};
  int on = 1, room = 16 << 20;
  packets = socket(AF_PACKET, SOCK_DGRAM, 0);
  if (packets < 0) { fprintf(stderr, "target: no packet socket (%s): the truth begins with the request\n", strerror(errno)); return; }
  setsockopt(packets, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
  setsockopt(packets, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
  setsockopt(packets, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  if (bind(packets, (struct sockaddr *)&where, sizeof where)) die("bind to lo");
}

static void read_syns(void) {
  static uint32_t sequence[ADDRESSES][65536];
  unsigned char packet[60];
  uint64_t at;
  while (packets >= 0 && receive(packets, packet, sizeof packet, &at) >= 40) {
    size_t header = (packet[0] & 15u) * 4u;
    unsigned address = (packet[19] - 1u) % ADDRESSES, port = (unsigned)packet[header] << 8 | packet[header + 1];
    uint32_t first;
    memcpy(&first, packet + header + 4, sizeof first);
    if (sequence[address][port] == first) continue;
    sequence[address][port] = first;
    syns[address][port] = at;
  }
}

static void welcome(int listener, int address, int secure) {
  for (;;) {
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    int on = 1, fd = accept4(listener, (struct sockaddr *)&from, &length, SOCK_NONBLOCK);
    if (fd < 0) return;
    struct connection *c = waiters < CONNECTIONS ? calloc(1, sizeof *c) : 0;
    if (!c) { close(fd); continue; }
    read_syns();
    c->fd = fd;
    c->seen.syn = syns[address][ntohs(from.sin_port)];
    c->seen.tls = (uint64_t)secure;
    if (secure) {
      c->tls = SSL_new(tls_context);
      SSL_set_bio(c->tls, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
      SSL_set_accept_state(c->tls);
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    struct epoll_event event = {EPOLLIN, {.ptr = c}};
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event)) end(c);
  }
}

int main(int count, char **given) {
  if (count != 6) { fprintf(stderr, "target PORT TLS_PORT CERTIFICATE KEY LOG\n"); return 2; }
  signal(SIGPIPE, SIG_IGN);
  ports[0] = atoi(given[1]);
  ports[1] = atoi(given[2]);
  int file = open(given[5], O_RDWR | O_CREAT | O_TRUNC, 0644), on = 1;
  if (file < 0 || ftruncate(file, sizeof *journal)) die(given[5]);
  journal = mmap(0, sizeof *journal, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (journal == MAP_FAILED) die("mmap");
  tls_context = SSL_CTX_new(TLS_server_method());
  if (SSL_CTX_use_certificate_chain_file(tls_context, given[3]) != 1 || SSL_CTX_use_PrivateKey_file(tls_context, given[4], SSL_FILETYPE_PEM) != 1) {
    ERR_print_errors_fp(stderr);
    return 1;
  }
  SSL_CTX_set_session_cache_mode(tls_context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(tls_context, SSL_MODE_RELEASE_BUFFERS);
  memset(filler, ' ', sizeof filler);
  memcpy(filler, "{\"status\":\"ok\"}", 15);
  watch_syns();
  poll_fd = epoll_create1(0);
  static int listeners[2 * ADDRESSES];
  for (int i = 0; i < 2 * ADDRESSES; i++) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)ports[i % 2]), .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (unsigned)i / 2)};
    listeners[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listeners[i], SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listeners[i], SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    struct epoll_event event = {EPOLLIN, {.ptr = &listeners[i]}};
    if (bind(listeners[i], (struct sockaddr *)&at, sizeof at) || listen(listeners[i], 4096)) die("listen");
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, listeners[i], &event)) die("epoll");
  }
  struct epoll_event alive = {EPOLLIN | EPOLLHUP, {.ptr = 0}};
  if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &alive)) die("standard input must be a pipe");
  puts("ready");
  fflush(stdout);
  for (struct epoll_event events[256];;) {
    uint64_t t = waiters ? now() : 0;
    int patience = !waiters ? -1 : waiting[1]->wake <= t ? 0 : (int)((waiting[1]->wake - t) / 1000000);
    int n = epoll_wait(poll_fd, events, 256, patience);
    for (int i = 0; i < n; i++) {
      int *listener = events[i].data.ptr;
      if (!listener) return 0;
      if (listener >= listeners && listener < listeners + 2 * ADDRESSES) {
        int which = (int)(listener - listeners);
        welcome(*listener, which / 2, which % 2);
      } else {
        hear(events[i].data.ptr);
      }
    }
    while (waiters && waiting[1]->wake <= now()) {
      struct connection *c = waiting[1];
      take_from_wait(c);
      answer(c);
    }
  }
}
