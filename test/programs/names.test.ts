/**
 * Programs that look at the addresses and ports of their own sockets and of their clients, on published ports: they do as
 * they do behind Podman's `-p`.
 */
import { describe, expect, onTestFinished, test } from 'vitest';
import { killDaemon, startDaemon } from '../integration/support/daemon.js';
import { describeOnLab, eventually, HOST1, host1, remote } from '../integration/support/lab.js';
import { NETWORKS } from '../integration/support/places.js';
import { type Container, startContainer } from '../integration/support/podman.js';
import { addressOf, publish } from '../integration/support/published.js';
import { trackConnections } from '../integration/support/tracking.js';

/** Of the host, for ports 80 and 443 of the container. */
const OURS = { plain: 8080, secure: 8443 } as const;
const PODMANS = { plain: 9080, secure: 9443 } as const;

/** Of the host, for ports 25 and 465 of the container. */
const MAIL = {
  ours: { plain: 8025, secure: 8465 },
  podmans: { plain: 9025, secure: 9465 },
} as const;

/** A container that runs `script` with the configuration `config` in /tmp/config, published by us or by Podman. */
async function serve(
  network: string,
  ports: typeof OURS | typeof PODMANS,
  config: string,
  script: string,
): Promise<Container> {
  const mappings = [`${ports.plain}:80`, `${ports.secure}:443`];
  const command = ['bash', '-c', `printf '%s' "$1" >/tmp/config; ${script}`, 'bash', config];
  return start({
    network,
    command,
    ...(ports === OURS
      ? { annotations: publish(mappings.join(' ')) }
      : { args: mappings.flatMap((mapping) => ['-p', mapping]) }),
  });
}

/** A container that is removed after the test. */
async function start(options: Parameters<typeof startContainer>[0]): Promise<Container> {
  const container = await startContainer(options);
  onTestFinished(() => container.remove());
  return container;
}

/** What a client outside is answered. */
const answer = (port: number, path = '/'): Promise<string> =>
  eventually(`an answer on port ${port}`, async () => {
    const url = `http://${HOST1.v4}:${port}${path}`;
    const { status, stdout } = await remote.run(['curl', '-sSf', '--max-time', '10', url]);
    return status === 0 ? stdout.trim() : undefined;
  });

const HAPROXY = `
global
  maxconn 100
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 10s
frontend all
  bind :80
  bind :443
  http-request return status 200 content-type text/plain lf-string "secure %[dst]:%[dst_port]" if { dst_port 443 }
  http-request return status 200 content-type text/plain lf-string "plain %[dst]:%[dst_port]" if { dst_port 80 }
`;

const APACHE = `
ServerRoot /tmp
PidFile /tmp/apache.pid
ErrorLog /dev/stderr
ServerName apache.test
Listen 80
Listen 443
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
<VirtualHost *:80>
  Redirect 410 /
  ErrorDocument 410 "plain"
</VirtualHost>
<VirtualHost *:443>
  Redirect 410 /
  ErrorDocument 410 "secure"
</VirtualHost>
`;

/** Mail for anybody, into one file. */
const EXIM = `
primary_hostname = exim.test
log_file_path = /tmp/exim.%slog
spool_directory = /var/spool/exim4
daemon_smtp_ports = 25 : 465
tls_on_connect_ports = 465
tls_advertise_hosts = *
tls_certificate = /tmp/both.pem
host_lookup =
smtp_banner = exim $received_ip_address:$received_port
acl_smtp_rcpt = accept
acl_smtp_data = accept
received_header_text = Received: at $received_ip_address:$received_port from $sender_host_address \${if def:tls_in_cipher {by TLS}{plainly}}
begin routers
all:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  file = /tmp/box
  user = mail
  delivery_date_add = false
  envelope_to_add = false
  return_path_add = false
`;
const EXIM_RUNS = `
chmod 1777 /tmp
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj /CN=exim.test \
  -keyout /tmp/both.pem -out /tmp/cert.pem 2>/dev/null
cat /tmp/cert.pem >>/tmp/both.pem; chmod 644 /tmp/both.pem
cp /tmp/config /etc/exim4/exim4.conf
exec exim4 -bdf -q1h`;

/** What a server says first, within so many seconds. */
const GREETING = 'exec 3<>"/dev/tcp/$1/$2" && timeout "$3" head -n 1 <&3';
/** A mail; with STARTTLS where it is not TLS from the start. */
const SEND = [
  ...['curl', '-sS', '--max-time', '30', '--insecure', '--ssl-reqd', '--upload-file', '-'],
  ...['--mail-from', 'a@remote.test', '--mail-rcpt', 'b@exim.test'],
];

const NGINX = `
pid /tmp/nginx.pid; error_log /tmp/error.log; worker_processes 2;
events {}
http {
  access_log off;
  client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c;
  uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e;
  server { listen 80; listen [::]:80; location / { return 200 "$server_addr:$server_port\\n"; } }
  server { listen 443; location / { return 200 "$server_addr:$server_port\\n"; } }
}
`;
/** Services that trust 127.0.0.1: Redis by its protected mode, nginx and PostgreSQL by what they are told. */
const ALLOWS = `
pid /tmp/nginx.pid; error_log /tmp/error.log;
events {}
http {
  access_log off;
  client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c;
  uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e;
  server {
    listen 80;
    location / { allow 127.0.0.1; deny all; try_files /none @name; }
    location @name { return 200 "$remote_addr\\n"; }
  }
}
`;
const TRUSTING = `
chmod 1777 /tmp
redis-server --save '' --daemonize yes >/dev/null
nginx -c /tmp/config
export PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
useradd -m pg; mkdir /tmp/pg; chown pg /tmp/pg
su pg -s /bin/bash -c "PATH=$PATH; initdb -D /tmp/pg -U lab -A trust >/dev/null
  exec postgres -D /tmp/pg -k /tmp -c listen_addresses='*' -c fsync=off"`;
/** A connection as descriptor 3, to the port that follows. */
const BARE = 'connect() { exec 3<>"/dev/tcp/$1/$2"; }; connect "$1"';
/** A new binary takes over: nginx(8), "Upgrading To a New Binary On The Fly". */
const UPGRADE = `
old=$(cat /tmp/nginx.pid)
kill -USR2 "$old"
for i in {1..200}; do
  new=$(cat /tmp/nginx.pid 2>/dev/null)
  [ -s /tmp/nginx.pid.oldbin ] && [ -n "$new" ] && [ "$new" != "$old" ] && break
  sleep 0.05
done
sleep 0.5
kill -QUIT "$old"
for i in {1..200}; do kill -0 "$old" 2>/dev/null || break; sleep 0.05; done
kill -0 "$old" 2>/dev/null && echo 'the old one stays'
kill -0 "$new" || echo 'there is no new one'
grep -E 'emerg|alert' /tmp/error.log
exit 0`;
const upgrade = (container: Container) => container.sh(UPGRADE, [], { timeout: 30_000 });
/** By its path, for the new binary; the shell reaps masters that have ended. */
const NGINX_STAYS = '/usr/sbin/nginx -c /tmp/config; sleep infinity & wait';
const OWN_ADDRESS = "ip -4 route get 192.0.2.1 | grep -oP ' src \\K[0-9.]+'";
/** Requests until the file is there; prints how many failed of how many. */
const REQUESTS = `
rm -f /tmp/enough; failed=0; all=0
while [ ! -e /tmp/enough ]; do
  curl -sSf --max-time 10 -o /dev/null "$1" || failed=$((failed + 1)); all=$((all + 1))
done
echo "$failed $all"`;

describeOnLab('programs that look at their own sockets', () => {
  describe.each(NETWORKS)('%s', (network) => {
    test('haproxy: dst_port, dst', async () => {
      const script = 'exec haproxy -db -f /tmp/config';
      const ours = await serve(network, OURS, HAPROXY, script);
      await serve(network, PODMANS, HAPROXY, script);
      const inside = await addressOf(ours);
      expect(await answer(OURS.plain)).toBe(`plain ${inside}:80`);
      expect(await answer(OURS.secure)).toBe(`secure ${inside}:443`);
      expect(await answer(PODMANS.plain)).toMatch(/^plain .*:80$/);
      expect(await answer(PODMANS.secure)).toMatch(/^secure .*:443$/);
    });

    test('haproxy, where the host tracks connections', async () => {
      await trackConnections();
      const ours = await serve(network, OURS, HAPROXY, 'exec haproxy -db -f /tmp/config');
      const inside = await addressOf(ours);
      expect(await answer(OURS.plain)).toBe(`plain ${inside}:80`);
      expect(await answer(OURS.secure)).toBe(`secure ${inside}:443`);
    });

    test('Apache: virtual hosts by port', async () => {
      const script = 'exec apache2 -X -f /tmp/config';
      await serve(network, OURS, APACHE, script);
      const text = (port: number) =>
        eventually(`Apache on ${port}`, async () => {
          const url = `http://${HOST1.v4}:${port}/`;
          const { status, stdout } = await remote.run(['curl', '-sS', '--max-time', '10', url]);
          return status === 0 ? stdout.trim() : undefined;
        });
      expect(await text(OURS.plain)).toBe('plain');
      expect(await text(OURS.secure)).toBe('secure');
    });

    test.each([
      { published: 'by sockswitch', wanted: 'as behind -p', ports: MAIL.ours },
      { published: 'by Podman', wanted: 'that is -p', ports: MAIL.podmans },
      { published: 'by sockswitch with names=host', wanted: 'which is wrong', ports: MAIL.ours },
    ])('Exim: TLS on connect by port, published $published, $wanted', async (row) => {
      const mappings = [`${row.ports.plain}:25`, `${row.ports.secure}:465`];
      const named = row.wanted !== 'which is wrong';
      const server = await start({
        network,
        command: ['bash', '-c', `printf '%s' "$1" >/tmp/config; ${EXIM_RUNS}`, 'bash', EXIM],
        ...(row.ports === MAIL.ours
          ? {
              annotations: {
                ...publish(mappings.join(' ')),
                ...(named ? {} : { 'sockswitch/names': 'host' }),
              },
            }
          : { args: mappings.flatMap((mapping) => ['-p', mapping]) }),
      });
      // On all its sockets: it makes that for IPv6 first.
      await eventually('Exim', async () =>
        (await server.exec(['grep', '-q', 'daemon started', '/tmp/exim.mainlog'])).status === 0
          ? true
          : undefined,
      );
      const greet = async (port: number, seconds = 20) =>
        (await remote.sh(GREETING, [HOST1.v4, `${port}`, `${seconds}`])).stdout.trim();
      const greeting = await greet(row.ports.plain);
      const bare = await greet(row.ports.secure, named ? 2 : 20);
      if (!named) {
        expect(greeting).toBe(`220 exim ${HOST1.v4}:${row.ports.plain}`);
        // It takes 8465 for a port without TLS.
        expect(bare).toBe(`220 exim ${HOST1.v4}:${row.ports.secure}`);
        return;
      }
      expect(greeting).toMatch(/^220 exim .*:25$/);
      expect(bare, 'it waits for TLS').toBe('');
      for (const url of [
        `smtp://${HOST1.v4}:${row.ports.plain}`,
        `smtps://${HOST1.v4}:${row.ports.secure}`,
      ]) {
        const mail = await remote.run([...SEND, url], { stdin: 'Subject: one\n\ntext\n' });
        expect(mail.status, mail.stderr).toBe(0);
      }
      const received = await eventually('two mails', async () => {
        const { stdout } = await server.exec(['grep', '-h', '^Received: at', '/tmp/box']);
        const lines = stdout.trim().split('\n');
        return lines.length === 2 ? lines.sort() : undefined;
      });
      expect(received[0]).toMatch(/:25 from [\d.]+ by TLS;$/);
      expect(received[1]).toMatch(/:465 from [\d.]+ by TLS;$/);
      if (row.ports !== MAIL.ours) return;
      const inside = await addressOf(server);
      const route = await remote.output(['ip', '-4', 'route', 'get', HOST1.v4]);
      const client = / src ([\d.]+)/.exec(route)?.[1];
      expect(greeting).toBe(`220 exim ${inside}:25`);
      for (const line of received) {
        expect(line).toContain(`at ${inside}:`);
        expect(line).toContain(`from ${client} `);
      }
    });

    test('clients inside are trusted, those outside are not: Redis, nginx, PostgreSQL', async () => {
      const command = ['bash', '-c', `printf '%s' "$1" >/tmp/config; ${TRUSTING}`, 'bash', ALLOWS];
      const mappings = '8080:80 8379:6379 8432:5432';
      const ours = await start({ network, command, annotations: publish(mappings) });
      const inside = (script: string) => ours.output(['bash', '-c', script]);
      const outside = async (script: string) =>
        (await remote.run(['bash', '-c', `${script} 2>&1`, 'bash', HOST1.v4])).stdout;
      await eventually('PostgreSQL', async () =>
        (await ours.exec(['psql', '-h', '127.0.0.1', '-U', 'lab', '-d', 'postgres', '-Atc', '']))
          .status === 0
          ? true
          : undefined,
      );
      expect(await inside('redis-cli -h 127.0.0.1 ping')).toBe('PONG\n');
      expect(await outside(`${BARE} 8379 && echo PING >&3 && head -c 7 <&3`)).toBe('-DENIED');
      expect(await inside('curl -sS http://127.0.0.1/')).toBe('127.0.0.1\n');
      expect(await outside('curl -sS -o /dev/null -w %{http_code} "http://$1:8080/"')).toBe('403');
      const query = "psql -h 127.0.0.1 -U lab -d postgres -Atc 'select inet_client_addr()'";
      expect(await inside(query)).toBe('127.0.0.1\n');
      expect(await outside('psql -h "$1" -p 8432 -U lab -d postgres -Atc ""')).toContain(
        'no pg_hba.conf entry for host',
      );
    });

    test("a health check of Podman's from inside", async () => {
      const ours = await start({
        network,
        annotations: publish(`${OURS.plain}:80`),
        args: ['--health-cmd', 'curl -sSf http://127.0.0.1/', '--health-interval', 'disable'],
        command: ['bash', '-c', `printf '%s' "$1" >/tmp/config; ${NGINX_STAYS}`, 'bash', ALLOWS],
      });
      const check = async () => host1.run(['podman', 'healthcheck', 'run', ours.id]);
      await eventually('health', async () => ((await check()).status === 0 ? true : undefined));
      const shown = ['podman', 'inspect', '--format', '{{.State.Health.Status}}', ours.id];
      expect((await host1.output(shown)).trim()).toBe('healthy');
    });

    describe('nginx', () => {
      test('server_addr, server_port', async () => {
        const ours = await serve(network, OURS, NGINX, NGINX_STAYS);
        const inside = await addressOf(ours);
        expect(await answer(OURS.plain)).toBe(`${inside}:80`);
        expect(await answer(OURS.secure)).toBe(`${inside}:443`);
      });

      test('binary upgrades under load lose no connection, also after the daemon was killed', async () => {
        const ours = await serve(network, OURS, NGINX, NGINX_STAYS);
        await answer(OURS.plain);
        const requests = remote.sh(REQUESTS, [`http://${HOST1.v4}:${OURS.plain}/`]);
        for (const killed of [false, false, true]) {
          if (killed) {
            await killDaemon();
            await startDaemon();
          }
          expect(await upgrade(ours)).toMatchObject({ status: 0, stdout: '' });
        }
        await remote.output(['touch', '/tmp/enough']);
        expect((await requests).stdout).toMatch(/^0 [1-9]\d*\n$/);
        expect(await answer(OURS.secure)).toContain(':443');
      });

      test('a binary upgrade of one that listens on its own address, after the daemon was killed', async () => {
        const own = `sed -i "s/OWN/$(${OWN_ADDRESS})/" /tmp/config; ${NGINX_STAYS}`;
        const config = NGINX.replaceAll(/listen (\d+);/g, 'listen OWN:$1;');
        const ours = await serve(network, OURS, config, own);
        const inside = await addressOf(ours);
        expect(await answer(OURS.plain)).toBe(`${inside}:80`);
        await killDaemon();
        await startDaemon();
        expect(await upgrade(ours)).toMatchObject({ status: 0, stdout: '' });
        expect(await answer(OURS.plain)).toBe(`${inside}:80`);
        expect(await answer(OURS.secure)).toBe(`${inside}:443`);
      });
    });
  });

  test('Redis Cluster of three neighbours, which learn each other from their connections', async () => {
    const script = "exec redis-server --protected-mode no --save '' --cluster-enabled yes";
    const nodes: Container[] = [];
    for (const node of [1, 2, 3]) {
      const container = await start({
        network: 'bridge',
        annotations: publish(`700${node}:6379 1700${node}:16379`),
        command: ['bash', '-c', script],
      });
      nodes.push(container);
    }
    const [first] = nodes;
    if (first === undefined) throw new Error('no nodes');
    const places = await Promise.all(nodes.map(async (node) => `${await addressOf(node)}:6379`));
    for (const node of nodes) {
      await eventually('Redis', async () =>
        (await node.exec(['redis-cli', 'ping'])).status === 0 ? true : undefined,
      );
    }
    const create = ['redis-cli', '--cluster', 'create', ...places, '--cluster-yes'];
    expect(await first.output(create, { timeout: 60_000 })).toContain('All 16384 slots covered');
    const well = async () => {
      for (const node of nodes) {
        await eventually('the cluster to be well to each', async () => {
          const told = await node.output(['redis-cli', 'cluster', 'info']);
          return told.includes('cluster_state:ok') ? true : undefined;
        });
      }
    };
    await well();
    // Why it is: each has learned the others' own addresses, over sockets of the host.
    for (const node of nodes) {
      const known = await node.output(['redis-cli', 'cluster', 'nodes']);
      for (const place of places) expect(known).toContain(` ${place}@16379`);
      expect(known).not.toContain(HOST1.v4);
      expect((await node.counters())?.reasons['neighbour'] ?? 0).toBeGreaterThan(0);
    }
    // Also of the connections that are open.
    await killDaemon();
    await startDaemon();
    await well();
    const check = await first.output(['redis-cli', '--cluster', 'check', places[1] ?? '']);
    expect(check).toContain('All nodes agree about slots configuration');
    const key = await first.output(['redis-cli', '-c', 'set', 'key', 'value']);
    expect(key.trim()).toBe('OK');
  });
});
