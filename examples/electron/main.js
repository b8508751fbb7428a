/** The main process: a window, dialogs, and one job at a time in a utility process. */
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { app, BrowserWindow, dialog, ipcMain, shell, utilityProcess } from 'electron';
import { startJob } from './job.js';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const KINDS = {
  model: { title: 'Network', properties: ['openFile'], filters: [{ name: 'ONNX', extensions: ['onnx'] }] },
  samples: {
    title: 'Samples',
    properties: ['openFile'],
    filters: [{ name: 'Samples', extensions: ['npz', 'npy', 'bin'] }],
  },
  images: { title: 'A folder of images', properties: ['openDirectory'] },
};

let window = null;
let job = null;

function open() {
  window = new BrowserWindow({
    width: 900,
    height: 760,
    webPreferences: {
      preload: here('preload.cjs'),
      contextIsolation: true,
      sandbox: true,
      nodeIntegration: false,
    },
  });
  window.webContents.setWindowOpenHandler(() => ({ action: 'deny' }));
  window.webContents.on('will-navigate', (event) => event.preventDefault());
  window.on('closed', () => {
    job?.cancel();
    window = null;
  });
  window.loadFile(here('index.html'));
}

ipcMain.handle('choose', async (_, kind) => {
  if (!Object.hasOwn(KINDS, kind)) return null;
  const { canceled, filePaths } = await dialog.showOpenDialog(window, KINDS[kind]);
  return canceled ? null : filePaths[0];
});

/** The summary, null where it was cancelled, or `{ code, message }` of what went wrong: IPC loses an error's code. */
ipcMain.handle('quantize', async (event, { model, calibration, evaluate, targets, maxDrop }) => {
  if (job)
    return { code: 'BUSY', message: 'Expected no job under way but one is: wait for it, or cancel it.' };
  const out = join(dirname(model), `${basename(model, '.onnx')}.sigmaquant`);
  const options = {
    model,
    calibration,
    targets,
    out,
    force: true, // replaces an earlier output, never anybody else's files
    ...(evaluate && { evaluate }),
    ...(maxDrop !== null && { maxDrop }),
  };
  job = startJob(() => utilityProcess.fork(here('worker.js'), [], { serviceName: 'sigmaquant' }), options, {
    onProgress: (progress) => event.sender.isDestroyed() || event.sender.send('progress', progress),
  });
  try {
    return await job.ended;
  } catch ({ code, message }) {
    return { code, message };
  } finally {
    job = null;
  }
});

ipcMain.handle('cancel', () => job?.cancel());
ipcMain.handle('show', (_, path) => shell.showItemInFolder(path));

app.whenReady().then(() => {
  open();
  app.on('activate', () => window ?? open());
});
app.on('window-all-closed', () => process.platform === 'darwin' || app.quit());
