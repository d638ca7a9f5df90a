// Shows how far an upload, its preview and its import have come. Without it the forms work alike,
// and the browser shows that it waits.
"use strict";

(() => {
    const form = document.querySelector("form[data-rowkeeper-progress]");
    if (!form) return;
    const area = form.querySelector(".rowkeeper-progress");
    const bar = area.querySelector("progress");
    const words = area.querySelector("[role=status]");
    const failed = form.querySelector(".rowkeeper-failed");
    const submit = form.querySelector("input[type=submit]");
    const STEPS = { reading: "Reading the file", writing: "Writing" };
    let poll = 0;

    function show(text, fraction) {
        area.hidden = false;
        failed.hidden = true;
        if (typeof fraction === "number") bar.value = fraction;
        else bar.removeAttribute("value");
        if (words.textContent !== text) words.textContent = text;
    }

    function stop(texts) {
        clearInterval(poll);
        area.hidden = true;
        if (submit) submit.disabled = false;
        if (!texts) return;
        failed.replaceChildren(...texts.map((text) => {
            const item = document.createElement("li");
            item.textContent = text;
            return item;
        }));
        failed.hidden = false;
    }

    function ask(method, address, body, onUpload) {
        return new Promise((resolve, reject) => {
            const request = new XMLHttpRequest();
            request.open(method, address);
            request.setRequestHeader("Accept", "application/json");
            request.responseType = "json";
            if (onUpload) request.upload.addEventListener("progress", onUpload);
            request.addEventListener("load", () => {
                const answer = request.response;
                if (request.status < 400 && answer) resolve(answer);
                else reject((answer && answer.errors) ||
                    [`The server rejected the request (${request.status}).`]);
            });
            request.addEventListener("error", () => reject(["The server cannot be reached."]));
            request.send(body);
        });
    }

    // What the server notes of the upload, twice a second.
    function follow(upload) {
        clearInterval(poll);
        const address = `${form.dataset.rowkeeperProgress}?upload=${encodeURIComponent(upload)}`;
        poll = setInterval(async () => {
            const noted = await ask("GET", address).catch(() => ({}));
            if (!noted.step || area.hidden) return;
            const percent = typeof noted.fraction === "number"
                ? `${Math.floor(100 * noted.fraction)} %, ` : "";
            show(`${STEPS[noted.step]}: ${percent}${noted.rows} rows`, noted.fraction);
        }, 500);
    }

    async function run() {
        const body = new FormData(form);
        const upload = body.get("upload");
        show(upload ? "Writing" : "Sending the file", upload ? undefined : 0);
        if (upload) follow(upload);
        const sent = await ask("POST", location.href, body, upload ? null : (event) => {
            if (event.lengthComputable) {
                const fraction = event.loaded / event.total;
                show(`Sending the file: ${Math.floor(100 * fraction)} %`, fraction);
            }
        });
        const next = new URL(sent.next, location.href);
        const made = next.searchParams.get("upload");
        if (!upload && made) {
            show("Reading the file");
            follow(made);
            await ask("GET", next.href);
        }
        clearInterval(poll);
        location.assign(next.href);
    }

    form.addEventListener("submit", (event) => {
        event.preventDefault();
        if (submit) submit.disabled = true;
        run().catch((texts) => stop(Array.isArray(texts) ? texts : [String(texts)]));
    });
    // Back on the page: it may come as it was left.
    window.addEventListener("pageshow", () => stop());
})();
