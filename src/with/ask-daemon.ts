/** Whether containers that start now would be accelerated, asked of the daemon without the libraries of other verbs. */
import { connect } from 'node:net';

const TIMEOUT_MS = 2_000;
const BLANK = '\r\n\r\n';

/** Why they would not be; undefined where they would. */
export async function obstacle(controlSocket: string): Promise<string | undefined> {
  let body: string;
  try {
    body = await get(controlSocket, '/v1/status');
  } catch {
    return 'no daemon is running (start it with "systemctl --user start sockswitch" or "sockswitch daemon")';
  }
  try {
    const status = JSON.parse(body) as { readonly unaccelerated?: unknown };
    return typeof status.unaccelerated === 'string' ? status.unaccelerated : undefined;
  } catch {
    return 'what answers at the socket of the daemon is none';
  }
}

/** The body of the answer. Not with node:http, which takes longer to load than the daemon to answer. */
function get(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    let text = '';
    socket.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    socket.on('end', () => {
      const at = text.indexOf(BLANK);
      if (at < 0) reject(new Error('no answer'));
      else resolve(text.slice(at + BLANK.length));
    });
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error('timed out')));
    socket.on('error', reject);
    // HTTP/1.0: the answer comes in one piece, and the connection ends with it.
    socket.write(`GET ${path} HTTP/1.0\r\nHost: localhost${BLANK}`);
  });
}
