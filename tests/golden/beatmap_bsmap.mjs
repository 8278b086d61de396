// Counts objects and seconds of difficulties as npm bsmap 2.2.9 (MIT) reads them.
// Called by beatmap_bsmap.py: reads [{name, bpm, text}] on stdin, writes {name: {...}} on stdout.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(process.argv[2] + '/');
const { loadDifficulty, logger, TimeProcessor } = await import(
    pathToFileURL(require.resolve('bsmap')).href
);
logger.logLevel = 0;
const results = {};
for (const { name, bpm, text } of JSON.parse(readFileSync(0, 'utf8'))) {
    const { difficulty } = loadDifficulty(JSON.parse(text));
    // A tempo of 0 is the Info's
    const tempo = difficulty.bpmEvents.map((e) => ({ b: e.time, m: e.bpm }));
    const times = new TimeProcessor(bpm, tempo);
    results[name] = {
        notes: difficulty.colorNotes.length,
        bombs: difficulty.bombNotes.length,
        walls: difficulty.obstacles.length,
        arcs: difficulty.arcs.length,
        chains: difficulty.chains.length,
        rotations: difficulty.rotationEvents.length,
        speeds: difficulty.njsEvents.length,
        seconds: difficulty.colorNotes.map((n) => Math.round(times.toRealTime(n.time) * 1e6) / 1e6),
    };
}
process.stdout.write('\n' + JSON.stringify(results) + '\n');
