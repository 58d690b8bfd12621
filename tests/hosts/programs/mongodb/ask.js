// ask.js URL: what it got, and how many commands of each name the driver says that it sent
const { MongoClient } = require("mongodb");
const sent = {};

async function main() {
    const client = new MongoClient(process.argv[2], { monitorCommands: true });
    client.on("commandStarted", (e) => { sent[e.commandName] = (sent[e.commandName] || 0) + 1; });
    const db = client.db("shop");
    await db.collection("orders").insertMany([...Array(50).keys()].map((i) => ({ _id: i, name: "hunter2" })));
    console.log((await db.collection("orders").find({ name: "hunter2" }, { batchSize: 20 }).toArray()).length);
    await Promise.all([...Array(20).keys()].map((i) => db.collection("orders").updateOne({ _id: i }, { $set: { name: "hunter2" } })));
    console.log(await db.collection("orders").countDocuments({ _id: { $lt: 10 } }));
    try {
        await db.collection("orders").insertOne({ _id: 1 });
    } catch (e) {
        console.log(e.code);
    }
    await client.close();
    console.log(JSON.stringify(sent));
}

main();
