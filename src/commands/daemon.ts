/** `sockswitch daemon`: runs the daemon in the foreground until it is told to stop. */

import { loadAddon } from '../addon/addon.js';
import { configPaths, defaultGraphRoot, programs, runtimePaths } from '../base/paths.js';
import { createLogger, type LogFormat } from '../daemon/observe/log.js';
import { Supervisor } from '../daemon/supervisor.js';
import { loadConfig } from '../policy/config.js';
import type { LogLevel } from '../policy/log-levels.js';

export interface DaemonOptions {
  readonly logLevel?: LogLevel;
  readonly logFormat: LogFormat;
  readonly nerdctlApi?: boolean;
  readonly externalKeeper?: boolean;
}

/** Resolves when the daemon has stopped. Rejects with UserError when it cannot start. */
export async function daemon(options: DaemonOptions): Promise<void> {
  const configuration = configPaths();
  const file = loadConfig(configuration.config);
  const config = { ...file, nerdctlApi: options.nerdctlApi ?? file.nerdctlApi };
  const log = createLogger(options.logLevel ?? config.logLevel, options.logFormat);
  const supervisor = await Supervisor.start({
    addon: loadAddon(),
    runtime: runtimePaths(),
    configuration,
    programs: programs(),
    graphRoot: defaultGraphRoot(),
    config,
    log,
    externalKeeper: options.externalKeeper === true,
    fixedLogLevel: options.logLevel !== undefined,
  });
  process.on('SIGHUP', () => supervisor.requestReload());
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      log.info(
        { signal },
        'stopping; containers keep running, their new connections wait for the next daemon',
      );
      void supervisor.stop();
    });
  }
  await supervisor.ended;
}
