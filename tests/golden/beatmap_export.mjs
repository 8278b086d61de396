// Judges files of levels by the schemas of npm bsmap 2.2.9 (MIT), and jumps by its arithmetic.
// Called by beatmap_export.py: reads {files: [{name, type, version, text}], jumps: [[bpm, njs,
// offset]]} on stdin, writes {issues: {name: [...]}, jumps: [[beats, seconds, least, most]]}.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(process.argv[2] + '/');
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { loadDifficulty, logger, NoteJumpSpeed, schemaCheck } = await load('bsmap');
const maps = await load('bsmap/beatmap/mapping');
logger.logLevel = 0;
const schemas = {
    info: maps.infoCheckMap,
    audioData: maps.audioSchemaMap,
    difficulty: maps.difficultyCheckMap,
    lightshow: maps.lightshowCheckMap,
};
const { files, jumps } = JSON.parse(readFileSync(0, 'utf8'));
const issues = {};
for (const { name, type, version, text } of files) {
    const data = JSON.parse(text);
    issues[name] = schemaCheck(data, schemas[type][version], type).map((one) => one.message);
    if (type === 'difficulty') {
        maps.difficultyCompatibilityMap[version](loadDifficulty(data), {
            throwOn: { incompatibleObject: true, mappingExtensions: true },
        });
    }
}
const told = jumps.map(([bpm, njs, offset]) => {
    const jump = new NoteJumpSpeed(bpm, njs, offset);
    return [jump.hjd, jump.reactionTime, ...jump.calcJdOptimal().map((jd) => jump.calcRtFromJd(jd))];
});
process.stdout.write('\n' + JSON.stringify({ issues, jumps: told }) + '\n');
