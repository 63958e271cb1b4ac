// One picture at a time: what is shown of it, and how.

const $ = (id) => document.getElementById(id);
const state = { run: 0 };

// ------------------------------------------------------------------ asking the machine
async function ask(path, body) {
  let answer;
  try {
    answer = await fetch(path, { method: "POST", body });
  } catch {
    throw new Error("No answer. Is colorvae app still running?");
  }
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

// How far it is, and how long it may take: after 5 seconds the time left can be told.
async function tellProgress(began) {
  const seconds = (performance.now() - began) / 1000;
  const answer = await fetch("progress").catch(() => null);
  const done = answer?.ok ? (await answer.json()).done : 0;
  if (done > 0) $("done").value = done;
  const left = Math.ceil((seconds * (1 - done)) / done);
  const isKnown = seconds > 5 && done > 0.02 && done < 1;
  $("left").textContent = isKnown ? `${left} s left` : `${Math.floor(seconds)} s`;
}

async function atWork(text, work) {
  const began = performance.now();
  const run = ++state.run;
  $("doing").textContent = text;
  $("left").textContent = "";
  $("done").removeAttribute("value");
  $("failure").hidden = true;
  $("busy").hidden = false;
  const clock = setInterval(() => run === state.run && tellProgress(began), 1000);
  try {
    return await work();
  } catch (error) {
    $("failure").textContent = error.message;
    $("failure").hidden = false;
  } finally {
    clearInterval(clock);
    if (run === state.run) $("busy").hidden = true;
  }
}

async function restore(file) {
  if (!file || state.isBusy) return;
  state.isBusy = true;
  $("file").disabled = true;
  const told = await atWork(`Restoring ${file.name} …`, () => ask("pictures", file));
  $("file").value = "";
  $("file").disabled = state.isBusy = false;
  if (!told) return;
  Object.assign(state, told, { name: file.name, version: 0, x: 0.5, y: 0.5 });
  state.choices = [choice(0)];
  $("name").textContent = `${file.name}, ${state.width} × ${state.height} pixels`;
  $("largest").textContent = `± ${state.largest.toFixed(1)} of 255, or more`;
  for (const id of ["show-error", "pixels"]) $(id).checked = false;
  $("strength").value = 100;
  $("split").value = 50;
  $("drop").classList.add("small");
  $("drop").querySelector("strong").textContent = "Drop or choose another photograph";
  $("work").hidden = false;
  $("whole").src = layer(0, "?side=400");
  show();
}

async function drawSample() {
  const { key } = state;
  state.isDrawing = true;
  listVersions();
  const told = await atWork("Imagining another restoration …", () =>
    ask(`pictures/${key}/samples`),
  );
  state.isDrawing = false;
  if (told && key === state.key) {
    state.version = told.version;
    state.choices.push(choice(told.version));
  }
  show();
}

// ------------------------------------------------------------------ showing
function layer(name, area = "") {
  return `pictures/${state.key}/${name}${area}`;
}

function shownArea() {
  if (!$("pixels").checked) return null;
  const width = Math.min(state.width, Math.round($("desk").clientWidth * devicePixelRatio), 1600);
  const height = Math.min(state.height, Math.round(0.7 * innerHeight * devicePixelRatio), 1600);
  return { x: state.x, y: state.y, width, height };
}

function put(id, address) {
  if ($(id).getAttribute("src") !== address) $(id).src = address;
}

function show() {
  const area = shownArea();
  const { width, height } = area ?? state;
  const most = area ? width / devicePixelRatio : Math.max(4 * width, 280);
  const query = area ? `?${new URLSearchParams(area)}` : "";
  $("stack").style.setProperty("--ratio", width / height);
  $("stack").style.setProperty("--most", `${most}px`);
  for (const id of ["before", "veil"]) put(id, layer("before", query));
  put("after", layer(state.version, query));
  if ($("show-error").checked) put("error", layer("error", query));
  $("error").hidden = $("legend").hidden = !$("show-error").checked;
  $("closer").hidden = state.width <= $("desk").clientWidth * devicePixelRatio;
  $("map").hidden = !area;
  if (area) frame(area);
  mix();
  split();
  listVersions();
}

function mix() {
  const percent = $("strength").value;
  $("percent").textContent = `${percent} %`;
  $("veil").style.opacity = 1 - percent / 100;
  const query = new URLSearchParams({ version: state.version, strength: percent / 100 });
  $("download").href = layer("file", `?${query}`);
  $("download").download = state.name.replace(/(\.[^.]*)?$/, "_restored$1");
}

function split() {
  $("stack").style.setProperty("--split", `${$("split").value}%`);
}

function button(press, content) {
  const made = document.createElement("button");
  made.type = "button";
  made.append(content);
  made.addEventListener("click", press);
  return made;
}

function choice(version) {
  const picture = new Image();
  picture.src = layer(version, "?side=200");
  picture.alt = version ? `another restoration, ${version}` : "restored";
  const made = button(() => {
    state.version = version;
    show();
  }, picture);
  return Object.assign(made, { version });
}

function listVersions() {
  for (const made of state.choices) made.ariaPressed = made.version === state.version;
  const made = [...state.choices];
  if (state.choices.length < 5) {
    const more = button(drawSample, "+ another");
    more.id = "more";
    more.disabled = state.isDrawing;
    made.push(more);
  }
  $("versions").replaceChildren(...made);
}

// ------------------------------------------------------------------ where to look
function frame({ x, y, width, height }) {
  const w = width / state.width;
  const h = height / state.height;
  const clamp = (centre, part) => Math.min(Math.max(centre - part / 2, 0), 1 - part);
  Object.assign($("frame").style, {
    left: `${100 * clamp(x, w)}%`,
    top: `${100 * clamp(y, h)}%`,
    width: `${100 * w}%`,
    height: `${100 * h}%`,
  });
}

function look(x, y) {
  state.x = Math.min(Math.max(x, 0), 1);
  state.y = Math.min(Math.max(y, 0), 1);
  show();
}

$("map").addEventListener("pointerdown", (event) => {
  const box = $("map").getBoundingClientRect();
  look((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
});
$("map").addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const step = steps[event.key];
  if (!step) return;
  event.preventDefault();
  look(state.x + step[0] / 20, state.y + step[1] / 20);
});

// ------------------------------------------------------------------ the controls
$("file").addEventListener("change", () => restore($("file").files[0]));
$("split").addEventListener("input", split);
$("strength").addEventListener("input", mix);
for (const id of ["show-error", "pixels"]) $(id).addEventListener("change", show);
$("after").addEventListener("error", () => {
  $("failure").textContent = "This picture is no longer at hand. Drop it once more.";
  $("failure").hidden = false;
});
addEventListener("resize", () => state.key && show());
addEventListener("dragover", (event) => {
  event.preventDefault();
  $("drop").classList.add("over");
});
addEventListener("dragleave", () => $("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  restore(event.dataTransfer.files[0]);
});
