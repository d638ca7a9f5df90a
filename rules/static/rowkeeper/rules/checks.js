// What the server says about the rules on the page: descriptions, who gets in, problems. It is asked
// again shortly after the last change.

const PAUSE = 300;

export class Checks {
    constructor(address, dataSource, columns, form, onanswer) {
        Object.assign(this, { address, dataSource, columns, form, onanswer });
        this.timer = 0;
        this.asked = null;
    }

    soon(text) {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.ask(text), PAUSE);
    }

    async ask(text) {
        clearTimeout(this.timer);
        this.asked?.abort();
        const asked = (this.asked = new AbortController());
        try {
            const answer = await this.post(text, asked.signal);
            if (asked === this.asked) this.onanswer(answer, text);
        } catch (error) {
            if (error.name !== "AbortError" && asked === this.asked) this.onanswer(null, text);
        }
    }

    async post(text, signal) {
        const token = this.form?.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";
        const answer = await fetch(this.address, {
            method: "POST", signal, credentials: "same-origin",
            headers: { "Content-Type": "application/json", "X-CSRFToken": token, Accept: "application/json" },
            body: JSON.stringify({ dataSource: this.dataSource, columns: this.columns(), rules: text }),
        });
        if (!answer.ok) throw new Error(`status ${answer.status}`);
        return answer.json();
    }
}
