/**
 * Services that systemd starts by their `.socket` unit, as Quadlet containers on a network: the sockets that are handed in stay
 * what they are, a port that the container publishes besides is served, and connections to the outside are switched.
 */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { killDaemon, startDaemon } from '../integration/support/daemon.js';
import {
  describeOnLab,
  eventually,
  FAR,
  HOST2,
  type Host,
  host2,
  REMOTE,
  remote,
} from '../integration/support/lab.js';
import { NETWORKS } from '../integration/support/places.js';
import { counters, ensureNetwork } from '../integration/support/podman.js';
import { startSystemd, stopSystemd, writeUnits } from '../integration/support/systemd.js';

/** Each socket answers with its own number, the client's address, and what the servers outside say. */
const SERVICE = `
const http = require('http');
const ask = (host) => new Promise((resolve) => http.get({ host, path: '/', agent: false },
  (answer) => answer.setEncoding('utf8').on('data', (text) => resolve(text.trim()))
).on('error', (error) => resolve(error.code)));
const serve = (name, where) => http.createServer(async (request, answer) => {
  const outside = [await ask('${REMOTE.v4}'), await ask('${FAR.v4}')].join(', ');
  answer.end([name, request.socket.remoteAddress ?? '-', outside].join('; '));
}).listen(where);
serve('tcp', { fd: 3 });
serve('unix', { fd: 4 });
serve('published', { port: 80, host: '0.0.0.0' });
`;
const OUTSIDE = 'hello from remote, hello from remote';
/** Two connections for each answer, and the published listener; of a socket that was handed in nothing. */
const COUNTED = { switched: 9, fallback: 0 };
const SOCKET = `[Unit]
DefaultDependencies=no
[Socket]
ListenStream=0.0.0.0:9001
ListenStream=%t/handed.socket
`;
const container = (network: string) => `[Container]
Image=localhost/lab
ContainerName=handed
Annotation=sockswitch/enable=true
Annotation=sockswitch/publish=9080:80
Network=${network === 'bridge' ? 'sockswitch-test' : network}
PodmanArgs=--stop-signal=SIGKILL
Exec=node /service.js
Volume=%h/service.js:/service.js:ro
[Service]
TimeoutStartSec=60
[Quadlet]
DefaultDependencies=false
`;

const systemctl = (...words: readonly string[]) => host2.output(['systemctl', '--user', ...words]);
const ask = async (from: Host, ...words: readonly string[]) =>
  (await from.output(['curl', '-sS', '-m', '30', ...words])).trim();

describeOnLab('Quadlet containers with a socket unit', () => {
  beforeAll(async () => {
    await ensureNetwork(host2, 'bridge');
    await startSystemd();
    await host2.output(['sh', '-c', 'cat >service.js'], { stdin: SERVICE });
  });
  afterAll(async () => {
    await host2.run(['rm', 'service.js']);
    await stopSystemd();
  });

  describe.each(NETWORKS)('%s', (network) => {
    test('handed in and published sockets, connections to the outside, restarts', async () => {
      const remove = await writeUnits({
        'handed.socket': SOCKET,
        'handed.container': container(network),
      });
      onTestFinished(async () => {
        await systemctl('stop', 'handed.socket', 'handed.service');
        await remove();
      });
      await systemctl('start', 'handed.socket');
      const address = (await remote.output(['hostname', '-I'])).trim().split(' ');
      const all = async () => {
        // The first one starts it.
        const local = await ask(host2, 'http://127.0.0.1:9001/');
        expect(local).toBe(`tcp; 127.0.0.1; ${OUTSIDE}`);
        const [, client = ''] = (await ask(remote, `http://${HOST2.v4}:9001/`)).split('; ');
        expect(address).toContain(client);
        const unix = '"$XDG_RUNTIME_DIR/handed.socket" http://handed/';
        const { stdout } = await host2.sh(`curl -sS -m 30 --unix-socket ${unix}`);
        expect(stdout).toBe(`unix; -; ${OUTSIDE}`);
        const published = await eventually('the published port', async () => {
          const url = `http://${HOST2.v4}:9080/`;
          const answer = await remote.run(['curl', '-sS', '-m', '30', url]);
          return answer.status === 0 ? answer.stdout : undefined;
        });
        expect(published).toBe(`published; ${client}; ${OUTSIDE}`);
      };
      const switched = async () => {
        const id = (await host2.output(['podman', 'inspect', '-f', '{{.Id}}', 'handed'])).trim();
        return { id, counted: await counters(id, host2) };
      };
      await all();
      const first = await switched();
      expect(first.counted).toMatchObject(COUNTED);
      await killDaemon(host2);
      await startDaemon(host2);
      await all();
      await systemctl('restart', 'handed.service');
      await all();
      const second = await switched();
      expect(second.id).not.toBe(first.id);
      expect(second.counted).toMatchObject(COUNTED);
    });
  });
});
