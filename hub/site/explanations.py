"""What every code means and what to do about it, for ``hub explain CODE`` and the pages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Explanation:
    """*what* happened, in a sentence or two, and the *fix*."""

    what: str
    fix: str


_E = Explanation
EXPLANATIONS: dict[str, Explanation] = {
    # core, store and engine
    "H000": _E("Something failed that has no code of its own.", "The sentence beside it says what."),
    "H110": _E(
        "A text that should be an amount of money is not one, or has fractions of a cent.",
        "Correct the sender, or the path in the mapping: amounts are digits with at most one point.",
    ),
    "H120": _E(
        "Something sealed cannot be opened, or the key file is missing or damaged.",
        "Restore the key file that belongs to this store from the backup.",
    ),
    "H130": _E(
        "A decision was made from rows that had changed meanwhile. Nothing of it was applied; it is made anew.",
        "Nothing. Only when it never ends is something wrong.",
    ),
    "H131": _E(
        "The store was written by a newer version of the hub, so this one leaves it alone.",
        "Install that version again, or restore the backup that was made before its upgrade.",
    ),
    "H132": _E(
        "The store has the schema of an earlier version and holds something.",
        "`hub upgrade` says what it will do, makes a backup, and brings it up to date.",
    ),
    "H133": _E(
        "The store could not be copied or put back: a full disk, a missing program, or a damaged file.",
        "What was found stands beside it. The store itself is as it was.",
    ),
    "H134": _E(
        "A backup could not be made, or a file is no whole backup.",
        "Use another file. `hub backup` checks what it has written before it says that it is done.",
    ),
    "H135": _E("A backup cannot be put back as asked.", "The sentence beside it says why; no store was replaced."),
    "H136": _E(
        "The store cannot be reached: its server is away, refuses this machine or user, or its file cannot be opened.",
        "Start the server, or correct the URL in config/hub.toml, the server's rules or the file's owner. A hub that "
        "runs answers nobody meanwhile, and goes on by itself.",
    ),
    "H140": _E(
        "The store could not be written. What was not committed was not acknowledged either.",
        "Look at the disk: space, permissions, health. The hub goes on by itself once it can write.",
    ),
    "H141": _E(
        "A delivery was to be sent that the store says is sent, being sent or closed. It was left alone.",
        "Nothing. Look at the message's page to see what became of it.",
    ),
    "H142": _E(
        "Billing was asked a second time about something that it has decided. The first decision stands.",
        "Nothing. Its effect came once.",
    ),
    "H143": _E(
        "Another node works on this store: it prolongs its lease while this one waits.",
        "Stop that one first, or give this site a store of its own. One node works on a store for now.",
    ),
    "H144": _E(
        "The node lost its store to another one, because it stood still for longer than its lease.",
        "Nothing was written after that, and nobody was answered. Run one of the two.",
    ),
    "H150": _E(
        "A task in a worker failed by a defect of the hub or of a script.", "The place beside it is where to look."
    ),
    "H151": _E(
        "A worker process died or took too long. The message that did it is held.",
        "Run the message with `hub try`; look for a loop that never ends or a very large value.",
    ),
    "H152": _E(
        "A task in a worker failed.",
        "Its own code and sentence stand beside it.",
    ),
    "H161": _E("The engine did not do what it was asked.", "Its own words stand beside the code."),
    "H160": _E(
        "The engine does not answer on its control socket.",
        "Is it running? `hub run` starts it.",
    ),
    # the site's files and wiring
    "H200": _E(
        "A configuration file is not valid TOML.",
        'Mend the line. Codes are texts: "00100", "02134" and "22:30" need their quotes.',
    ),
    "H201": _E(
        "A file has a key that is not a setting at that place.",
        "Correct its spelling (the finding suggests one), or move it to the table that it belongs to.",
    ),
    "H202": _E(
        "A setting is missing, or its value is not of the kind that it should be.",
        'Durations are texts with a unit ("15m"), codes are texts, secrets are { secret = "name" }.',
    ),
    "H203": _E(
        "A file or folder that every site has is missing.", "`hub init DIR` writes a whole site to compare with."
    ),
    "H204": _E(
        "A step's `run` names a function that its script does not have.",
        "Correct the name after the colon, or write the function.",
    ),
    "H205": _E(
        "A step's `run` names a function that is not declared as a mapping.",
        "Decorate it with @mapping(accepts=..., returns=...).",
    ),
    "H206": _E("A source or destination has a `type` that is no connector.", "`hub docs` lists the connectors."),
    "H207": _E(
        "A step that nothing feeds, or a channel without steps.",
        "Compare the step's `on` with the source's `accepts` and with what the mapping accepts.",
    ),
    "H208": _E(
        "A destination that nothing reaches: no step returns what it takes.",
        "Remove the destination, or change its `takes` or what a step's mapping returns.",
    ),
    "H209": _E(
        "A step returns something that no destination of its channel takes.",
        "Add a destination: type billing for billing's values, fhir_read for Read, rest_read for Fetch, another for "
        "Outgoing.",
    ),
    "H210": _E("A channel's name is not that of its file.", "Rename one of them."),
    "H211": _E(
        "A kind is accepted and no step takes it, so it is acknowledged and then filtered.",
        "Add a step for it, or take it out of `accepts` so that the reader sees what the channel does.",
    ),
    "H212": _E("config/local.toml overrides a setting on this machine.", "Nothing; remove the entry to undo it."),
    "H213": _E(
        "An entry of config/local.toml names no file of the site.",
        "Begin with channels.NAME, partners.NAME, payers.ID, hub, practice or billing.",
    ),
    "H214": _E("Two channels take the same kind from billing: it would be sent twice.", "Keep one of them."),
    "H215": _E("The site has errors and cannot run.", "`hub check` shows every finding with its fix."),
    "H216": _E("This folder is no site.", "Go to one, name one with --site DIR, or make one with `hub init DIR`."),
    "H217": _E("The folder for a new site is not empty.", "Choose another; `hub init` never writes over anything."),
    "H218": _E("The site has no channel of that name.", "`hub check` lists the channels."),
    "H219": _E("That is neither a code nor a path.", "Try `hub explain H204` or `hub explain FT1-25`."),
    "H239": _E(
        "A department bills by a form that no channel takes from billing: its claims would be made and never sent.",
        "Add the form to `takes` in the source of the channel that sends claims, and to the steps and destinations "
        "behind it.",
    ),
    # messages
    "H220": _E(
        "These bytes are not an HL7 v2 message: MSH is missing, or its delimiters cannot be used.",
        "Look at the first line. It must begin with MSH and its delimiters, such as MSH|^~\\&.",
    ),
    "H221": _E(
        "A text that should be a path is not one.",
        "A segment, a dash, a field, perhaps a component: PID-3.1, PID-3[MR].1, FT1-26[*].1.",
    ),
    "H222": _E(
        "The message lacks a value that the mapping requires.",
        "Ask the sender for it, or use line[...] instead of .required(...) and hold the line.",
    ),
    "H223": _E(
        "A value is there, but it is not what the mapping says it is: no date, number, NPI or amount.",
        "The shape that was found stands beside it. Correct the sender or the path.",
    ),
    "H224": _E("A segment cannot be written as asked.", "Correct the position or the value in the script."),
    "H225": _E("The message is not a JSON object.", "Look at its first bytes: compressed, XML or an error page?"),
    "H227": _E("The bytes do not follow the MLLP framing.", "The block is 0x0B, the message, 0x1C 0x0D."),
    "H228": _E("A value cannot be written with these delimiters.", "Use the usual ones: |^~\\&."),
    "H231": _E(
        "A channel hands messages to one that does not exist, or to one that hands them back.",
        "Correct the name in into or answers_to; where channels form a circle, have one of them decide and end.",
    ),
    "H232": _E("Two listeners of the site have one address.", "Give one of them another port."),
    "H233": _E(
        "Another program listens now where the site would: the hub could not open that port here.",
        "End the other program, or choose another port. Nothing is wrong when the site runs on another machine.",
    ),
    "H234": _E("Two steps of a channel have one name.", "Give each its own: queues and messages name the step."),
    "H230": _E(
        "Two sources of a channel remember how far they came under the same name: one would skip what the other read.",
        "Give each a name of its own.",
    ),
    "H229": _E(
        "A new channel cannot be written as asked. Nothing was written.", "The sentence beside it says what to change."
    ),
    "H257": _E("A pack cannot be copied into this site.", "The sentence beside it says why; nothing was written over."),
    "H240": _E("The bytes are not a FHIR resource.", "The sentence beside it names the place; ask the sender."),
    "H270": _E(
        "A version was not deployed. What ran before runs on, and nothing was lost.",
        "The sentence beside it says what is in the way.",
    ),
    "H271": _E(
        "Somebody else has deployed since you looked, so that your deploy would undo theirs unseen.",
        "`hub history` says who and why, `hub diff` what differs. Take it into your files, then deploy again.",
    ),
    "H272": _E("There is no such version here.", "`hub history` lists those that ran."),
    "H273": _E(
        "The samples are not as expected, so nothing was deployed.",
        "`hub test` shows every difference; `hub test --update` accepts them for you to review.",
    ),
    "H300": _E("An X12 file cannot be read.", "The sentence beside it names the segment."),
    "H301": _E("The data is not an X12 interchange.", "It must begin with ISA."),
    "H302": _E(
        "An X12 segment runs past any sensible length: its terminator is missing or wrong.",
        "Look at the place; the file may have been cut short.",
    ),
    "H303": _E(
        "A value cannot be written into an interchange as the guide wants it.",
        "The sentence beside it names the element.",
    ),
    "H304": _E(
        "A reader was given a transaction of another kind.",
        "Look at ST01 and ST03 of the file.",
    ),
    "H305": _E(
        "A stored claim does not have the fields that a claim has.",
        "Report it with the place; it is our mistake.",
    ),
    "H306": _E(
        "An X12 element that must be an amount, a quantity or a date is not one.",
        "Ask the partner; the file is kept as it came.",
    ),
    "H310": _E(
        "A secret that a setting names is not set.",
        "`hub secrets set NAME` asks for its value and keeps it encrypted; a file var/secrets/NAME or the variable "
        "HUB_SECRET_NAME does as well. Values never stand in files of the site.",
    ),
    "H311": _E(
        "The file of sealed secrets cannot be read, or a secret cannot be kept as asked.",
        "The sentence beside it says why; `hub secrets list` shows what there is.",
    ),
    # scripts
    "H401": _E("A mapping script cannot be loaded.", "Mend the line that the finding names."),
    "H402": _E(
        "A mapping script imports something that a pure function does not need.",
        "Import from hub.scripting, from a neighbour (from .people import patient) or pure parts of the library.",
    ),
    "H403": _E(
        "A mapping script asks for the time, a file or input.",
        "Take the time from the message; read code tables with table() at the top of the script.",
    ),
    "H404": _E("A code table cannot be used.", "Mend the CSV file: one heading, the key column, no key twice."),
    "H405": _E(
        "A path in a mapping is not in the standard, or only in another version.",
        "`hub explain PATH` shows what stands there. Senders may fill it all the same.",
    ),
    "H406": _E(
        "A mapping reads a place that nearly every sample leaves empty, while the other usual place is filled.",
        "See with `hub try` what the sender writes there, and read the other place if it is meant.",
    ),
    "H407": _E(
        "A script names something that does not exist: a name, a field of a value, a converter.",
        "Mend the line; it would have stopped the first message that reached it.",
    ),
    "H410": _E("A listener could not open its port.", "Choose another port, or stop the program that holds it."),
    "H411": _E("A certificate or private key cannot be used.", "Check file, format and permissions."),
    "H412": _E(
        "A server gives out no token, or the hub cannot prove to it who it is.",
        "Check client_id, its secret or key, and the scope; nothing was sent meanwhile.",
    ),
    "H414": _E(
        "A peer cannot be reached, or is not who it should be.", "The sentence beside it says how far one came."
    ),
    "H415": _E(
        "The driver of a database is not installed, or its URL names none.",
        "PostgreSQL is postgresql+psycopg, SQLite sqlite; other drivers are installed beside the hub.",
    ),
    "H416": _E(
        "An output is not what a database's statements can be given.",
        "They take a JSON object, or a list of them, with every value that they name. Nothing of it was written.",
    ),
    "H417": _E(
        "A connector that is installed beside the hub cannot be used.",
        "Correct its package, or uninstall it; docs/writing-a-connector.md says what the hub expects.",
    ),
    "H420": _E("A login failed, or a server is not the one that it should be.", "Check user, key and host key."),
    "H424": _E(
        "A mapping stopped with an exception that is not one of the hub's own.",
        "The script's line stands beside it; run the message with `hub try` to see the values there.",
    ),
    "H421": _E("A mapping returned a type that it does not declare.", "Name the type in @mapping(returns=...)."),
    "H422": _E(
        "A field of a value that a mapping returned is missing or of another type.",
        "Use a converter (| date, | money, | number), or hold the line where the message has no such value.",
    ),
    "H423": _E("Nothing in the channel takes what a mapping returned.", "Add it to a destination's `takes`."),
    "H430": _E(
        "A mapping reached for the network, a file or another program and was refused.",
        "Mappings are pure. Have billing or a destination do it.",
    ),
    "H440": _E("A channel has no sample.", "Put a message into tests/channels/CHANNEL/CASE/in.hl7."),
    "H441": _E("A sample folder cannot be used.", "It holds one message: in.hl7, in.json or in.x12."),
    # billing's configuration
    "H501": _E("A payer names a partner that does not exist.", "Write config/partners/NAME.toml or correct the name."),
    "H502": _E("The fee schedule cannot be read.", "Two columns, code and fee, one line per code."),
    "H507": _E("The payers' contracts cannot be read.", "Three columns, payer, code and allowed; one line for each."),
    "H560": _E(
        "A bank's file cannot be read.",
        "Load it as the bank gave it: NACHA, BAI2, or a CSV with a date, an amount and a description.",
    ),
    "H503": _E("A payer or partner stands in two files.", "Remove one of them."),
    "H504": _E(
        "A department's place of service is not one that its facility, or the practice's own address, has.",
        "Correct the department's place_of_service, or add it to places_of_service.",
    ),
    "H505": _E("The check digit of an NPI is wrong.", "Look the number up in NPPES."),
    "H506": _E(
        "A partner is configured for production in a test site, or the other way round.",
        "Test and production never mix: ISA15 is bound to the environment.",
    ),
    "H520": _E(
        "A rule has no sample that it lets pass, or none that it hits: nothing shows that it does what is meant.",
        'Add [[rule.sample]] with result = "pass" and one with result = "hit".',
    ),
    "H521": _E("A rule does something else to its sample than the sample says.", "Correct the rule or the sample."),
    "H522": _E(
        "A rule speaks of a field that claims do not have, or gives one a value that it cannot have.",
        "docs/payer-rules.md lists the fields.",
    ),
    "H523": _E(
        "A rule sets a fact of the claim: a code, modifier, amount, unit, diagnosis, date or identity.",
        "Write propose instead of set: a named person accepts it.",
    ),
    "H524": _E("A rule has no verb, or more than one.", "Make one rule of each verb."),
    "H525": _E(
        "A rule replaces something that is not there, or that keeps the implementation guide.",
        "Name an edit that may be loosened, or a rule with its layer: payer/ID.",
    ),
    "H526": _E("Two rules of one layer have the same id.", "Give one of them another."),
    "H527": _E(
        "The function that a rule names cannot be loaded, or failed.",
        "Write it below transforms/: it takes the claim and returns a sentence, several, or None.",
    ),
    "H540": _E(
        "A file of reference data cannot be read, or is loaded already.",
        "The sentence beside it says what was expected; docs/edits.md names the layouts.",
    ),
    "H541": _E(
        "An edit was not made: what it needs is not loaded, or not known.",
        "`hub refdata load` loads it; docs/edits.md says what each edit needs.",
    ),
    "H600": _E("The ledger refused an entry: its debits and credits differ.", "Report it; nothing was posted."),
    "H601": _E(
        "Another engine works on this site.",
        "Stop it first: one node works on a store at a time.",
    ),
    "H610": _E(
        "The engine asked for work that billing does not do.",
        "Report it; it is our mistake, never the data's.",
    ),
    "H611": _E(
        "The store does not hold that claim.",
        "Look the claim up by its account or control number.",
    ),
    "H612": _E("A billing command was refused.", "The sentence beside it says why."),
    # commands and the demonstration
    "H650": _E("Nothing can be sent as asked.", "`hub send --help` shows the forms of a target."),
    "H651": _E(
        "A replay may do something twice, and nobody said that it should go on.",
        "Answer the question, or give --yes in a script.",
    ),
    "H652": _E("Another program listens on the port of the pages.", "End it, or name another port in config/hub.toml."),
    "H653": _E(
        "A hub that should have ended goes on, or there is none.",
        "`hub status` says whether one answers; it may run on another machine, or as a service of the system.",
    ),
    "H700": _E(
        "The demonstration cannot be set up here.",
        "The sentence beside it names what is missing: a folder, a port, a package.",
    ),
    "H701": _E(
        "A simulator of the demonstration ended when it should not.", "Its log stands in the demonstration's folder."
    ),
    "H702": _E("The demonstration could not be played to its end.", "The sentence beside it says what it waited for."),
    "H703": _E("The benchmark could not be run to its end.", "The sentence beside it says what it waited for."),
    # people and pages
    "H620": _E("A payment cannot be posted as asked.", "The sentence beside it says why; no money has moved."),
    "H630": _E(
        "A row of the denial table cannot be used.",
        "docs/denials.md lists the columns of config/denials.csv and config/denial_remarks.csv, and what they may say.",
    ),
    "H631": _E("A letter cannot be written from its template.", "docs/denials.md lists the facts of a letter."),
    "H632": _E("A claim cannot be corrected as asked.", "The sentence beside it says why; nothing was sent."),
    "H633": _E("An appeal cannot be written, sent or decided as asked.", "The sentence beside it says why."),
    "H621": _E(
        "A rule about a payer's numbers cannot be released or withdrawn.",
        "Load the page again: somebody may have decided it already.",
    ),
    "H622": _E(
        "What a payer decided cannot be reported to the next payer as it stands.",
        "The figures of the remittance do not account for the claim. Ask the payer, or bill the next one on paper.",
    ),
    "H710": _E("A user account cannot be changed as asked.", "The sentence beside it says why."),
    "H720": _E(
        "Nobody is signed in: the account is locked or disabled, or the session has ended.",
        "Sign in again, or ask an administrator.",
    ),
    "H248": _E(
        "The certificate of the pages cannot be used.",
        "Name a PEM file and its key under `[web]` in config/hub.toml, or neither: then one is made.",
    ),
    "H721": _E("A line is no checkpoint of the audit log.", "`hub audit checkpoint` prints one."),
    "H722": _E("An API token cannot be made or withdrawn as asked.", "The sentence beside it says why."),
    "H723": _E("An alert cannot be taken or snoozed as asked.", "The sentence beside it says why."),
    "H724": _E("An alert could not be sent.", "Check [alerts] in config/hub.toml; it is tried again at the next look."),
    "H730": _E("The engine does not answer.", "Is it running? `hub run` starts it."),
    "H740": _E(
        "There is no such thing, or not any more.",
        "Go back and reload.",
    ),
    "H745": _E(
        "The account is for some channels, and this is of the whole practice.",
        "Have an administrator widen the account.",
    ),
    "H750": _E(
        "A request to the API was not answered.",
        "The sentence beside it says why: nobody is signed in, it is not allowed, or it was not as described.",
    ),
    "H741": _E(
        "What the mapping would give now cannot be shown. Nothing was sent or changed.",
        "The sentence beside it says why; a replay itself is still possible.",
    ),
}
