/** What `sockswitch with` says to the programs in front of `podman` and `buildah`, in an environment variable. */
import { UserError } from '../base/errors.js';
import { quote } from '../base/text.js';

/** Set where `with` holds: annotations, names to values, as JSON. */
export const STATE_VARIABLE = 'SOCKSWITCH_WITH';

/** What has something in front of it. */
export const PROGRAMS = ['podman', 'podman-remote', 'buildah'] as const;

/** The variables that name the real programs; empty where PATH had none. */
export const PROGRAM_VARIABLES = {
  podman: 'SOCKSWITCH_WITH_PODMAN',
  'podman-remote': 'SOCKSWITCH_WITH_PODMAN_REMOTE',
  buildah: 'SOCKSWITCH_WITH_BUILDAH',
} as const;

type Annotations = Readonly<Record<string, string>>;

/**
 * What holds for containers and builds together: `annotations` are of the command line, `configured` of Podman's configuration,
 * `outer` is the variable's value where one `with` runs in another. Ignore lists add up. Throws UserError.
 */
export function withOuter(
  annotations: Annotations,
  configured: Annotations,
  outer: string,
): Annotations {
  const all = [configured, ...(outer === '' ? [] : [readState(outer)]), annotations];
  const ignore = all.flatMap((one) => one['sockswitch/ignore']?.split(/\s+/).filter(Boolean) ?? []);
  return {
    ...Object.assign({}, ...all),
    ...(ignore.length > 0 ? { 'sockswitch/ignore': [...new Set(ignore)].join(' ') } : {}),
  };
}

/** Throws UserError. */
export function readState(text: string): Annotations {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (isAnnotations(value)) return value;
  throw new UserError(
    `${STATE_VARIABLE} is ${quote(text)}, which "sockswitch with" has not written: unset it`,
  );
}

// Not with zod: see commands/with.ts.
function isAnnotations(value: unknown): value is Annotations {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((one) => typeof one === 'string')
  );
}
